"""A thousand clients at once, among them the slow, the broken and the dying: no wrong answer, nothing left behind."""

from __future__ import annotations

import asyncio
import functools
import os
import resource
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from samplers import Ising, wire

TOKEN = "a-token-for-tests-5f1d"
SPINS = 24


@functools.cache
def problem(k: int) -> Ising:
    rng = np.random.default_rng(k)
    return Ising(rng.normal(size=SPINS), {(i, i + 1): rng.normal() for i in range(SPINS - 1)})


def request(k: int) -> bytes:
    header, arrays = wire.problem_arrays(problem(k % 16))
    return wire.pack(wire.REQUEST, {**header, "reads": 20, "beta": 1.0, "seed": k, "nonce": f"n{k}"}, arrays)


def head(size: int, token: str = TOKEN) -> bytes:
    return (
        f"POST /v1/draw HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {size}\r\n\r\n".encode()
    )


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length"))
    return int(lines[0].split()[1]), await reader.readexactly(length)


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for _ in range(100):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionError:
            await asyncio.sleep(0.05)
    raise AssertionError("the server takes no connections")


async def good(port: int, k: int) -> bool:
    """Ask until served; True for the right answer, an AssertionError for a wrong one."""
    body = request(k)
    while True:
        reader, writer = await connect(port)
        try:
            writer.write(head(len(body)) + body)
            status, answer = await read_answer(reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            continue
        finally:
            writer.close()
        if status != 503:
            break
        await asyncio.sleep(0.2)
    assert status == 200, answer
    draws, header = wire.unpack_draws(answer)
    expected = np.random.default_rng(k).choice(np.array([-1, 1], np.int8), (20, SPINS))
    assert header["nonce"] == f"n{k}" and header["hash"] == problem(k % 16).content_hash
    assert (draws.states == expected).all()
    np.testing.assert_allclose(draws.energies, problem(k % 16).energies(expected), rtol=1e-12)
    return True


async def bad(port: int, k: int) -> bool:
    """Be one of the clients that no server wants; True if it was refused as it should be."""
    reader, writer = await connect(port)
    body = request(k)
    try:
        match k % 8:
            case 0:  # garbage
                writer.write(head(64) + bytes(64))
                return (await read_answer(reader))[0] in (422, 503)
            case 1:  # harmed on its way
                writer.write(head(len(body)) + body[:50] + b"\xff" + body[51:])
                return (await read_answer(reader))[0] in (422, 503)
            case 2:  # oversized by its own word
                writer.write(head(10**12))
                return (await read_answer(reader))[0] == 413
            case 3:  # slow: the body never ends
                writer.write(head(len(body)) + body[:40])
                return (await read_answer(reader))[0] == 408
            case 4:  # slow: the headers never end
                writer.write(head(len(body))[:-20])
                return await reader.read() == b""
            case 5:  # killed while it sends
                writer.write(head(len(body)) + body[:40])
                await writer.drain()
                writer.transport.abort()
                return True
            case 6:  # killed while it waits
                writer.write(head(len(body)) + body)
                await writer.drain()
                writer.transport.abort()
                return True
            case _:  # a stranger
                writer.write(head(len(body), token="x") + body)
                return (await read_answer(reader))[0] == 401
    except (ConnectionError, asyncio.IncompleteReadError):
        return True  # hung up on: refused as well
    finally:
        writer.close()


def footprint(pid: int) -> tuple[float, int]:
    """MiB of memory and number of open files of a process."""
    resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return resident, len(os.listdir(f"/proc/{pid}/fd"))


async def wave(server, port: int, clients: int, kill: bool) -> None:
    async def murder() -> bool:
        for _ in range(2):
            await asyncio.sleep(0.3)
            os.kill(server.worker_pids()[0], signal.SIGKILL)
        return True

    work = [good(port, k) if k % 4 else bad(port, k // 4) for k in range(clients)]
    results = await asyncio.wait_for(asyncio.gather(*work, *([murder()] if kill else [])), 300)
    assert all(results), [k for k, fine in enumerate(results) if not fine]


@pytest.fixture(autouse=True)
def _many_open_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def settled(server) -> bool:
    return server.metric("pending_requests") == 0 == server.metric("pending_bytes")


def test_a_thousand_clients_good_and_bad_at_once(start):
    server = start("uniform", workers=2, slow_seconds=2.0)
    port = int(server.url.rsplit(":", 1)[1])
    asyncio.run(wave(server, port, 250, kill=False))
    memory, files = footprint(server.process.pid)
    asyncio.run(wave(server, port, 1000, kill=True))
    deadline = time.monotonic() + 60
    while not (settled(server) and server.metric("workers_alive") == 2) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert settled(server) and server.metric("workers_alive") == 2 == len(server.worker_pids())
    assert server.metric("worker_restarts_total") >= 1
    after, files_after = footprint(server.process.pid)
    # sockets of killed clients close a moment after their requests have ended
    while files_after > files + 5 and time.monotonic() < deadline:
        time.sleep(0.2)
        after, files_after = footprint(server.process.pid)
    assert after < memory + 30 and files_after <= files + 5, (memory, after, files, files_after)
    assert TOKEN not in server.text() and "Traceback" not in server.text()
    assert server.stop() == 0


def test_a_full_server_turns_clients_away_and_they_come_back(start):
    server = start("uniform?seconds=0.02", max_pending=4)
    client = server.client()
    with ThreadPoolExecutor(16) as pool:
        draws = list(pool.map(lambda k: client.draw(problem(k % 16), 20, seed=k), range(64)))
    for k, answer in enumerate(draws):
        assert (answer.states == np.random.default_rng(k).choice(np.array([-1, 1], np.int8), (20, SPINS))).all()
    assert 'status="503"' in client._get("/metrics").text


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_answers_every_request_or_says_no(start, stop):
    server = start("uniform?seconds=0.05", workers=1)
    client = server.client()

    def ask(k: int) -> str:
        try:
            client.draw(problem(k % 16), 20, seed=k)
            return "drawn"
        except Exception as error:  # noqa: BLE001
            return type(error).__name__

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, k) for k in range(40)]
        asked[0].result()
        server.process.send_signal(stop)
        outcomes = [future.result() for future in asked]
    assert server.process.wait(timeout=20) == 0
    assert outcomes[0] == "drawn" and set(outcomes) <= {"drawn", "RemoteError"}
