from __future__ import annotations

import http.server
import threading
import time
import warnings

import dimod.testing
import numpy as np
import pytest

from samplers import Draws, InputError, Ising, Sampler, wire
from samplers.errors import BadAnswerError, RemoteError, RemoteTimeoutError
from samplers.remote.http import Http
from samplers.wrappers.ledger import read_ledger
from samplers.wrappers.resilience import Fallback, Retry, Timeout, resilient

N = 16
PROBLEM = Ising(np.linspace(-0.3, 0.3, N), np.triu(np.full((N, N), 0.02), 1))


def spins(num_reads: int, seed=None) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([-1, 1], dtype=np.int8), (num_reads, N))


class Local(Sampler):
    """Right reads, always."""

    name = "local"

    def draw(self, problem, num_reads=1, beta=1.0, *, initial_states=None, clamped=None, seed=None):
        states = spins(num_reads, seed)
        for spin, value in (clamped or {}).items():
            states[:, spin] = value
        return Draws(states)


class Faulty(Local):
    """Fails in a given way for the first `failures` draws."""

    name = "faulty"

    def __init__(self, fault, failures=10**9):
        self.fault, self.failures, self.calls, self.seeds = fault, failures, 0, []

    def draw(self, problem, num_reads=1, beta=1.0, *, initial_states=None, clamped=None, seed=None):
        self.calls += 1
        self.seeds.append(seed)
        good = spins(num_reads, seed)
        if self.calls > self.failures:
            return good
        return self.fault(good)


def stall(good):
    time.sleep(0.6)
    return good


def refuse(_):
    raise RemoteError("no")


FAULTS = {
    "raises": refuse,
    "breaks": lambda _: 1 / 0,
    "connection": lambda _: (_ for _ in ()).throw(ConnectionResetError("peer")),
    "spins": lambda good: good[:, :-1],
    "reads": lambda good: good[:-1],
    "zeros": lambda good: good * 0,
    "nan": lambda good: np.where(np.eye(len(good), N), np.nan, good),
    "nan-weights": lambda good: Draws(good, np.full(len(good), np.nan)),
    "nan-energies": lambda good: Draws(good, None, np.full(len(good), np.nan)),
    "duplicates": lambda good: np.repeat(good[:1], len(good), axis=0),
    "doubled": lambda good: np.tile(good[: len(good) // 2], (2, 1)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_is_retried(fault):
    child = Faulty(FAULTS[fault], failures=2)
    draws = Retry(child, first_wait=0.0).draw(PROBLEM, 40, seed=np.random.default_rng(3))
    assert child.calls == 3 and draws.info["attempts"] == 3
    # each attempt gets a generator of its own, in the same state
    number = int(np.random.default_rng(3).integers(2**63))
    assert (draws.states == spins(40, number)).all()
    assert len(set(child.seeds)) == 3 and not any(isinstance(seed, int) for seed in child.seeds)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_stays_ends_in_the_reserve_with_a_warning(fault, tmp_path):
    child = Faulty(FAULTS[fault])
    sampler = resilient(child, attempts=3, fallback=Local(), ledger=tmp_path / "ledger.jsonl")
    sampler.child.first_wait = 0.0
    with pytest.warns(RuntimeWarning, match="faulty failed"):
        draws = sampler.draw(PROBLEM, 40, seed=1)
    assert child.calls == 3 and (draws.states == spins(40, 1)).all()
    assert draws.info["fallback"]["sampler"] == "local"
    rows = read_ledger(tmp_path / "ledger.jsonl")
    assert len(rows) == 3 and {row["sampler"] for row in rows} == {"faulty"}


def test_what_the_user_did_wrong_is_neither_retried_nor_replaced():
    def too_large(_):
        raise InputError("the problem does not fit: use 8 spins")

    child = Faulty(too_large)
    with pytest.raises(InputError, match="use 8 spins"):
        resilient(child, fallback=Local()).draw(PROBLEM, 4)
    assert child.calls == 1


def test_without_a_reserve_the_last_error_is_raised():
    with pytest.raises(BadAnswerError, match="spins"):
        resilient(Faulty(FAULTS["spins"]), attempts=1, fallback=None).draw(PROBLEM, 4)


def test_waits_double_with_seeded_jitter_and_respect_what_the_machine_asks(monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    for _ in range(2):
        with pytest.raises(RemoteError):
            Retry(Faulty(refuse), attempts=7, first_wait=1.0, most_wait=10.0, seed=5).draw(PROBLEM)
    first, second = waits[:6], waits[6:]
    assert first == second
    for wait, base in zip(first, [1, 2, 4, 8, 10, 10], strict=True):
        assert base / 2 <= wait <= base * 1.5
    waits.clear()

    def busy(_):
        raise RemoteError("busy", retry_after=20.0)

    with pytest.raises(RemoteError):
        Retry(Faulty(busy), attempts=2, first_wait=0.1).draw(PROBLEM)
    assert waits == [20.0]


def test_a_machine_that_stalls_times_out():
    sampler = Timeout(Faulty(stall, failures=1), seconds=0.1)
    with pytest.raises(RemoteTimeoutError, match=r"within 0\.1 s"):
        sampler.draw(PROBLEM, 4)
    assert len(Timeout(sampler.child, seconds=30).draw(PROBLEM, 4, clamped={0: 1})) == 4
    with pytest.raises(ZeroDivisionError):
        Timeout(Faulty(FAULTS["breaks"])).draw(PROBLEM)


def test_a_machine_that_is_down_does_not_cost_its_retries_at_every_step():
    child = Faulty(refuse)
    sampler = Fallback(child, Local(), pause=30.0)
    with pytest.warns(RuntimeWarning):
        sampler.draw(PROBLEM, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            draws = sampler.draw(PROBLEM, 4)
    assert child.calls == 1 and "pause" in draws.info["fallback"]["because"]
    sampler.pause = sampler._until = 0.0
    child.failures = 0
    assert "fallback" not in sampler.draw(PROBLEM, 40).info


def test_they_are_dimod_samplers_with_the_childs_parameters():
    for sampler in (Timeout(Local()), Retry(Local()), Fallback(Local(), Local())):
        dimod.testing.assert_sampler_api(sampler)
        assert sampler.parameters == Local().parameters and sampler.kind == "sampler"
        with pytest.raises(InputError, match="num_read"):
            sampler.sample_ising({}, {(0, 1): 1.0}, num_read=2)


class Liar(http.server.BaseHTTPRequestHandler):
    """A server of our protocol that answers wrongly, in the way its `fault` says."""

    fault = ""

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        header, arrays = wire.unpack(wire.REQUEST, body)
        problem, reads, fault = wire.problem_from(header, arrays), header["reads"], type(self).fault
        if fault == "stall":
            time.sleep(1.0)
        if fault == "500":
            self.send_error(500)
            return
        states = spins(reads, header["seed"])
        states = states[:, :-1] if fault == "spins" else states[:-1] if fault == "reads" else states
        states = np.tile(states[: reads // 2], (2, 1)) if fault == "duplicates" else states
        weights = np.full(len(states), np.nan if fault == "nan" else 0.0)
        echo = {"hash": problem.content_hash, "nonce": "old" if fault == "stale" else header["nonce"]}
        answer = wire.pack_draws(Draws(states, weights, info={"kind": "sampler"}), echo)
        answer = answer[:-1] + b"!" if fault == "corrupt" else answer
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer[:-50] if fault == "truncate" else answer)
        self.close_connection = True


@pytest.fixture
def liar():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("stall", "RemoteTimeoutError"),
        ("500", "RemoteError"),
        ("truncate", "RemoteError"),
        ("corrupt", "BadAnswerError"),
        ("stale", "BadAnswerError"),
        ("spins", "BadAnswerError"),
        ("reads", "BadAnswerError"),
        ("duplicates", "BadAnswerError"),
        ("nan", "BadAnswerError"),
    ],
)
def test_training_survives_a_server_that_lies(liar, fault, outcome, tmp_path, monkeypatch):
    monkeypatch.setattr(Liar, "fault", fault)
    # a busy machine must not turn another fault into a timeout
    client = Http(liar, token="tell-nobody", timeout=0.3 if fault == "stall" else 30.0)
    sampler = resilient(client, attempts=2, fallback=Local(), ledger=tmp_path / "ledger.jsonl", seed=0)
    sampler.child.first_wait, sampler.pause = 0.0, 0.0
    h = np.zeros(N)
    for step in range(3):
        if step == 2:
            monkeypatch.setattr(Liar, "fault", "")
            client.timeout = 30.0
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            draws = sampler.draw(Ising(h, PROBLEM.J), 40, seed=step)
        assert (draws.states == spins(40, step)).all() and bool(caught) == (step < 2)
        assert not caught or "tell-nobody" not in str(caught[0].message)
        h += 0.1 * draws.mean()
    assert [row["outcome"] for row in read_ledger(tmp_path / "ledger.jsonl")] == [outcome] * 4 + ["ok"]
    assert "tell-nobody" not in (tmp_path / "ledger.jsonl").read_text()
