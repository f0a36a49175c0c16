from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from samplers import InputError, Ising, wire
from samplers.errors import BadAnswerError, RemoteError, RemoteTimeoutError
from samplers.remote.http import Http
from samplers.server.app import body_limit, serve


def problem(n: int = 12, seed: int = 0) -> Ising:
    rng = np.random.default_rng(seed)
    return Ising(rng.normal(size=n), np.triu(rng.normal(size=(n, n)), 1) / n**0.5)


def test_draws_over_the_wire_are_those_of_the_backend(server):
    draws = server.client().draw(problem(), num_reads=50, beta=0.5, seed=3)
    expected = np.random.default_rng(3).choice(np.array([-1, 1], np.int8), (50, 12))
    assert (draws.states == expected).all()
    np.testing.assert_allclose(draws.energies, problem().energies(expected))
    assert draws.info["kind"] == "sampler" and draws.info["array"] == [0, 1] and draws.info["remote"] == server.url


def test_clamped_spins_initial_states_and_generators_travel(server):
    start = np.random.default_rng(1).choice(np.array([-1, 1], np.int8), (9, 12))
    draws = server.client().draw(problem(), 9, initial_states=start, clamped={2: 1, 11: -1})
    start[:, 2], start[:, 11] = 1, -1
    assert (draws.states == start).all()
    one, two = (server.client().draw(problem(), 30, seed=np.random.default_rng(5)).states for _ in range(2))
    assert (one == two).all()
    assert (server.client().draw(problem(), 30).states != one).any()


def test_weights_travel(start):
    server = start("uniform?trouble=weights")
    draws = server.client().draw(problem(), 20, seed=0)
    np.testing.assert_allclose(draws.log_weights, -0.1 * np.arange(20))


def test_the_kind_is_that_of_the_served_backend(start):
    client = start("simulated-bifurcation").client()
    assert client.kind == "optimiser" == client.properties["kind"]
    gone = Http("http://127.0.0.1:9")
    assert gone.kind == "sampler" and "127.0.0.1:9" in gone.properties["error"]


def test_it_is_a_dimod_sampler(server):
    import dimod.testing

    client = server.client()
    dimod.testing.assert_sampler_api(client)
    answer = client.sample_ising({"a": 0.5}, {("a", "b"): -1.0}, num_reads=7, seed=1)
    dimod.testing.assert_response_energies(answer, dimod.BQM.from_ising({"a": 0.5}, {("a", "b"): -1.0}))
    assert len(answer) == 7
    with pytest.raises(InputError, match="num_read"):
        client.sample_ising({}, {("a", "b"): 1.0}, num_read=7)


def test_limits_are_named_by_the_server(server):
    with pytest.raises(InputError, match="300 spins, not 301"):
        server.client().draw(Ising(np.zeros(301), {}))
    with pytest.raises(InputError, match="2000 reads a request, not 2001"):
        server.client().draw(problem(), 2001)
    assert server.client().properties["max_spins"] == 300


def test_the_token_is_needed_and_never_shown(server, monkeypatch):
    wrong = server.client(token="wrong-token")
    with pytest.raises(InputError, match="refuses the token") as caught:
        wrong.draw(problem())
    assert "wrong-token" not in str(caught.value)
    for path in ("/v1/properties", "/v1/draw"):
        for headers in (
            {},
            {"Authorization": "Bearer"},
            {"Authorization": "Basic x"},
            {"Authorization": "Bearer ümlaut"},
        ):
            send = httpx.post if path == "/v1/draw" else httpx.get
            raw = {k: v.encode("latin-1") for k, v in headers.items()}
            assert send(server.url + path, headers=raw).status_code == 401
    health = httpx.get(server.url + "/health").json()
    assert (health["status"], health["backend"], health["workers"]) == ("ok", "uniform", 2)
    client = server.client(token="s3cret-words")
    assert "s3cret" not in repr(client) + str(vars(client)) + str(client.properties)
    monkeypatch.setenv("QBMVAE_SAMPLERS_TOKEN", "from-environment")
    data = pickle.dumps(client)
    assert b"s3cret" not in data and pickle.loads(data)._token.reveal() == "from-environment"
    assert "token-for-tests" not in server.text()


def test_addresses_that_cannot_be_are_refused():
    for url in ("ftp://x", "http://", "localhost:8765", "http://name:password@host"):
        with pytest.raises(InputError) as caught:
            Http(url)
        assert "password" not in str(caught.value)
    with pytest.raises(RemoteError, match=r"127\.0\.0\.1:9"):
        Http("http://127.0.0.1:9").draw(problem())


def test_malformed_and_oversized_bodies_are_refused(server):
    headers = {"Authorization": "Bearer a-token-for-tests-5f1d"}

    def post(content, **more):
        return httpx.post(server.url + "/v1/draw", content=content, headers={**headers, **more})

    good = wire.pack(wire.REQUEST, {**wire.problem_arrays(problem())[0], "reads": 1, "beta": 1.0}, {"h": np.zeros(12)})
    for body in (b"", b"x" * 100, good[:-5], good[:30] + b"\xff" + good[31:], b"\x80\x04K\x01."):
        assert post(body).status_code == 422
    for fields in ({"reads": 1.5}, {"reads": True}, {"beta": -1}, {"beta": "x"}, {"n": 0}, {"n": "x"}, {"seed": -1}, {"seed": 2**200}):  # fmt: skip
        header, arrays = wire.problem_arrays(problem())
        body = wire.pack(wire.REQUEST, {**header, "reads": 1, "beta": 1.0, "seed": 0, **fields}, arrays)
        assert post(body).status_code == 422, fields
    most = body_limit(300, 2000)
    assert post(bytes(most + 1)).status_code == 413

    def chunks():
        for _ in range(most // 65536 + 2):
            yield bytes(65536)

    try:
        assert post(chunks()).status_code == 413
    except httpx.TransportError:
        pass  # the server hung up while we were still sending
    assert httpx.get(server.url + "/v1/draw", headers=headers).status_code == 405
    assert len(server.client().draw(problem(), 3)) == 3


def test_a_backend_that_fails_is_an_error_without_its_details(start):
    server = start("uniform?trouble=raise")
    with pytest.raises(RemoteError, match="500: the backend failed with RuntimeError") as caught:
        server.client().draw(problem())
    assert "secret detail" not in str(caught.value) and "secret detail" in server.text()


def test_a_draw_over_the_time_limit_is_ended_and_the_worker_replaced(start):
    server = start("uniform?trouble=sleep", max_seconds=0.5)
    before = server.worker_pids()
    with pytest.raises(RemoteError, match="504"):
        server.client().draw(problem())
    assert server.worker_pids() != before and server.metric("worker_restarts_total") == 1


def test_what_compiles_at_the_first_draw_is_ready_before_the_first_request(start):
    server = start("uniform?compile_seconds=8", max_seconds=4.0)
    draws = server.client().draw(Ising(np.zeros(5), {}), 3)
    # dense, bipartite and sparse, cold and warm, and one with initial states
    assert draws.info["drawn"] == 8
    server.stop()


def test_another_machine_is_not_asked_to_warm_up(start):
    # it may cost something
    server = start("uniform?remote=true")
    assert server.client().draw(Ising(np.zeros(5), {}), 3).info["drawn"] == 1
    server.stop()


def test_a_worker_that_dies_under_every_request_is_an_error_not_a_dead_server(start):
    server = start("uniform?trouble=die")
    with pytest.raises(RemoteError, match="died twice"):
        server.client().draw(problem())
    assert httpx.get(server.url + "/health").status_code == 200


def test_a_killed_worker_is_replaced_and_the_request_drawn_again(start):
    server = start("uniform?seconds=0.5")
    (pid,) = server.worker_pids()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(server.client().draw, problem(), 20, seed=4)
        server.busy()
        os.kill(pid, signal.SIGKILL)
        draws = future.result()
    assert draws.info["pid"] != pid and server.metric("worker_restarts_total") == 1
    assert (draws.states == np.random.default_rng(4).choice(np.array([-1, 1], np.int8), (20, 12))).all()


def test_an_idle_worker_that_is_killed_is_replaced_before_anybody_asks(start):
    server = start("uniform")
    (pid,) = server.worker_pids()
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while server.metric("worker_restarts_total") + server.metric("workers_alive") < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.worker_pids() != [pid] and len(server.client().draw(problem(), 5)) == 5


def test_a_slow_server_times_out_by_name(start):
    server = start("uniform?seconds=2")
    with pytest.raises(RemoteTimeoutError, match=r"within 0\.3 s"):
        server.client(timeout=0.3).draw(problem())


def test_a_stop_finishes_what_runs(start):
    server = start("uniform?seconds=0.5")
    pids = server.worker_pids()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(server.client().draw, problem(), 5)
        server.busy()
        server.process.send_signal(signal.SIGTERM)
        assert len(future.result()) == 5
    assert server.process.wait(timeout=100) == 0
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_workers_go_with_a_server_that_is_killed(start):
    server = start("uniform")
    pids = server.worker_pids()
    server.process.kill()
    server.process.wait()
    deadline = time.monotonic() + 60
    while any(os.path.exists(f"/proc/{pid}") for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"sampler_spec": "gibs"}, "gibs"),
        ({"sampler_spec": "exact", "workers": 0}, "workers"),
        ({"sampler_spec": "exact", "token": " "}, "token is empty"),
        ({"sampler_spec": "exact", "host": "0.0.0.0"}, "without a token"),
        ({"sampler_spec": "exact", "max_seconds": -1}, "max_seconds"),
        ({"sampler_spec": "exact", "port": 99999}, "0 to 65535"),
        ({"sampler_spec": "exact", "host": "no.such.host.invalid", "token": "x"}, "choose another address or port"),
    ],
)
def test_wrong_options_are_named_before_anything_listens(options, named):
    with pytest.raises(InputError, match=named):
        serve(**options)


def test_a_port_in_use_is_named(server):
    port = int(server.url.rsplit(":", 1)[1])
    with pytest.raises(InputError, match=f"port {port}"):
        serve("exact", port=port)


def test_metrics_are_prometheus_text(server):
    server.client().draw(problem(), 3)
    text = httpx.get(server.url + "/metrics").text
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r'samplers_\w+(\{\w+="[^"]+"\})? [0-9.e+-]+', row) for row in rows)
    assert server.metric('requests_total{status="200"}') >= 1 and server.metric("workers_alive") == 2
    assert server.metric("request_seconds_count") == server.metric('request_seconds_bucket{le="+Inf"}')


def test_nothing_here_unpickles():
    import samplers.remote
    import samplers.wrappers

    for package in (samplers.remote, samplers.wrappers):
        for path in Path(package.__path__[0]).glob("*.py"):
            found = re.findall(
                r"^\s*(?:import|from) (pickle|marshal|shelve|dill|joblib)|allow_pickle=True", path.read_text(), re.M
            )
            assert not found, path


def test_the_client_imports_no_server():
    code = (
        "import sys, samplers.remote.http; assert not {'uvicorn', 'starlette', 'fastapi', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_answer_that_is_not_ours_is_not_believed(server, monkeypatch):
    client = server.client()
    stale = []

    def replay(body, num_reads, n):
        stale.append(Http._post(client, body, num_reads, n))
        return stale[0]

    monkeypatch.setattr(client, "_post", replay)
    client.draw(problem(), 5)
    with pytest.raises(BadAnswerError, match="another request"):
        client.draw(problem(), 5)
    monkeypatch.setattr(client, "_post", lambda *_: stale[0][:-9])
    with pytest.raises(BadAnswerError, match="cannot be trusted"):
        client.draw(problem(), 5)
