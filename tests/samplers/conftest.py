"""A server process on loopback, and third-party backends that it finds by entry point."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from samplers.remote.http import Http

# for the tests that need a vendor's stand-in
sys.path.append(str(Path(__file__).parent / "remote"))

TOKEN = "a-token-for-tests-5f1d"

BACKENDS = '''
import os, sys, time
import numpy as np
import samplers
from samplers import Draws, InputError, Sampler


class Uniform(Sampler):
    """Random spins, and on request trouble, but not in the two spins with which a worker warms up."""

    name = "uniform"
    drawn = 0

    def __init__(self, trouble="", seconds=0.0, compile_seconds=0.0, remote=False):
        self.trouble, self.seconds, self.compile_seconds = trouble, seconds, compile_seconds
        self.remote = remote
        if trouble == "options":
            raise InputError("no such trouble: try another")

    def draw(self, problem, num_reads=1, beta=1.0, *, initial_states=None, clamped=None, seed=None):
        print("noise on stdout must not reach the client")
        if not Uniform.drawn:
            time.sleep(self.compile_seconds)
        Uniform.drawn += 1
        time.sleep(self.seconds if problem.n > 2 else 0)
        if self.trouble == "raise":
            raise RuntimeError("secret detail")
        if self.trouble == "die" and problem.n > 2:
            os._exit(9)
        if self.trouble == "sleep" and problem.n > 2:
            time.sleep(60)
        rng = np.random.default_rng(seed)
        states = rng.choice(np.array([-1, 1], np.int8), (num_reads, problem.n))
        if initial_states is not None:
            states = initial_states.copy()
        for spin, value in (clamped or {}).items():
            states[:, spin] = value
        weights = -0.1 * np.arange(num_reads) if self.trouble == "weights" else None
        return Draws(states, weights, info={"pid": os.getpid(), "array": np.arange(2), "drawn": Uniform.drawn})
'''


@pytest.fixture(scope="session")
def backends(tmp_path_factory) -> Path:
    """A folder that, on PYTHONPATH, adds the backend "uniform" by entry point."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "uniform_backend.py").write_text(BACKENDS)
    info = folder / "uniform_backend-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: uniform-backend\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[qbmvae.samplers]\nuniform = uniform_backend:Uniform\n")
    return folder


class Server:
    """A `serve` process; its address, its log and its end."""

    def __init__(self, folder: Path, spec: str, log: Path, **options):
        code = f"from samplers.server import app; app.SLOW_SECONDS = {options.pop('slow_seconds', 15.0)}; "
        code += f"app.MAX_PENDING = {options.pop('max_pending', 2048)}; "
        code += f"app.serve({spec!r}, port=0, token={options.pop('token', TOKEN)!r}, **{options!r})"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
        self.log = log
        with log.open("w") as out:
            self.process = subprocess.Popen([sys.executable, "-c", code], stderr=out, stdout=out, env=environment)
        deadline = time.monotonic() + 600
        while "http://" not in self.text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.text()
            time.sleep(0.05)
        self.url = re.search(r"http://\S+", self.text()).group()

    def text(self) -> str:
        return self.log.read_text()

    def client(self, **options) -> Http:
        return Http(self.url, **{"token": TOKEN, "timeout": 200.0, **options})

    def metric(self, name: str) -> float:
        text = self.client()._get("/metrics").text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"samplers_{name}"))

    def worker_pids(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def busy(self) -> None:
        """Return once a request waits or runs."""
        while not self.metric("pending_requests"):
            time.sleep(0.02)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=100)


@pytest.fixture(scope="session")
def start(backends, tmp_path_factory):
    """Start servers; whatever still runs at the end is stopped."""
    servers: list[Server] = []

    def begin(spec: str = "uniform", **options) -> Server:
        servers.append(Server(backends, spec, tmp_path_factory.mktemp("log") / "server.log", **options))
        return servers[-1]

    yield begin
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="session")
def server(start) -> Server:
    """One server of the backend "uniform" with two workers, shared by the tests that leave it whole."""
    return start("uniform", workers=2, max_spins=300, max_reads=2000)
