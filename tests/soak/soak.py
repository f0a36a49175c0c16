"""A soak test: two small Boltzmann machines learn for minutes or hours from samplers that are not to be trusted.

One learns from a server process over HTTP, whose workers are killed now and then; every tenth answer is drawn again
here and compared bit by bit. The other learns from a fake Ising machine whose gain and readout drift, under a loop of
temperature control. At the end: does the effective temperature stay tracked, is memory flat, was any answer wrong, did
both learn? Run with `python -m tests.soak.soak --minutes 10`; the exit code is 0 if all is well.
"""

from __future__ import annotations

import argparse
import os
import platform
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import samplers
from samplers.files import write_json
from samplers.machines.mock import MockMachine
from samplers.remote.http import Http
from samplers.wrappers.ledger import read_ledger
from samplers.wrappers.resilience import resilient
from samplers.wrappers.temperature_control import TemperatureControl

SPINS, READS, RATE = 12, 1024, 0.1
BACKEND = "gibbs?num_sweeps=100"
#: Bounds of the verdicts.
MOST_KL, MOST_SCALE_ERROR, MOST_SCALE_ERROR_95, MOST_GROWTH = 0.05, 0.10, 0.25, 8.0
STATES = 1 - 2 * ((np.arange(2**SPINS)[:, None] >> np.arange(SPINS)) & 1)


@dataclass
class Learner:
    """A Boltzmann machine that matches a target's moments, and what was seen on its way."""

    target: samplers.Ising
    h: np.ndarray = field(default_factory=lambda: np.zeros(SPINS))
    J: np.ndarray = field(default_factory=lambda: np.zeros((SPINS, SPINS)))
    steps: int = 0
    divergences: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._goal = _probabilities(self.target)
        self._first, self._second = self._goal @ STATES, STATES.T @ (STATES * self._goal[:, None])

    @property
    def problem(self) -> samplers.Ising:
        """The model as it stands."""
        return samplers.Ising(self.h, self.J)

    def learn(self, draws: samplers.Draws) -> None:
        """Climb the likelihood by the gap between the target's moments and the reads'; forget a little."""
        rate = RATE / (1.0 + self.steps / 500)
        gap = self._second - draws.second_moments()
        np.fill_diagonal(gap, 0.0)
        self.h, self.J = self.h - rate * (self._first - draws.mean()), self.J - rate * gap
        self.steps += 1
        if self.steps % 50 == 0:
            model = _probabilities(self.problem)
            self.divergences.append(float(self._goal @ np.log(self._goal / model)))


def _probabilities(problem: samplers.Ising) -> np.ndarray:
    logits = -problem.energies(STATES)
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def _target(seed: int) -> samplers.Ising:
    rng = np.random.default_rng(seed)
    return samplers.Ising(0.3 * rng.normal(size=SPINS), np.triu(rng.normal(0, SPINS**-0.5, (SPINS, SPINS)), 1))


class ServerProcess:
    """`qbmvae samplers serve` in a process of its own."""

    def __init__(self, folder: Path):
        self.token = secrets.token_hex(16)
        (folder / "token.txt").write_text(self.token)
        self.log = folder / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "experiments.cli.main", "samplers", "serve", "--backend", BACKEND, "--port", "0",
                 "--token-file", str(folder / "token.txt"), "--workers", "2"],
                stdout=log, stderr=log,
            )  # fmt: skip
        while " on http://" not in self.log.read_text():
            if self.process.poll() is not None:
                raise RuntimeError(f"the server did not start: {self.log.read_text()}")
            time.sleep(0.1)
        self.url = self.log.read_text().split(" on ")[1].split()[0]

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()] if children.exists() else []

    def stop(self) -> int:
        """Ask the server to end, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=120)


def _resident(pid: int) -> float:
    """MiB that a process holds; NaN where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return float("nan")


def _drifted(step: int, wander: float) -> float:
    # two slow waves and a random walk that is drawn home: a factor of 4 between the extremes
    waves = 0.4 * np.sin(2 * np.pi * step / 1300) + 0.25 * np.sin(2 * np.pi * step / 400)
    return float(3.0 * np.exp(waves + wander))


def soak(minutes: float, seed: int = 0, kill_every: float = 20.0) -> dict[str, Any]:
    """Run the test; return its figures and verdicts.

    Parameters
    ----------
    minutes
        How long.
    seed
        Of targets, machine and reads.
    kill_every
        Seconds between two killings of a worker process.
    """
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = ServerProcess(folder)
        client = Http(server.url, token=server.token, timeout=120.0)
        remote = resilient(client, fallback="gibbs", ledger=folder / "ledger.jsonl", seed=rng)
        machine = MockMachine(engine="gibbs?num_sweeps=50", bits=8, j_range=4.0, h_range=4.0)
        controlled = TemperatureControl(machine)
        local, here = Learner(_target(seed)), Learner(_target(seed + 1))
        reference = samplers.get(BACKEND)
        wrong = compared = kills = fallbacks = 0
        scale_errors: list[float] = []
        memory: dict[str, list[float]] = {"this process": [], "server": []}
        begin, wander, killed, sampled = time.monotonic(), 0.0, time.monotonic(), 0.0
        try:
            while (t := time.monotonic() - begin) < minutes * 60:
                step = int(rng.integers(2**31))
                problem = local.problem
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    draws = remote.draw(problem, READS, seed=step)
                fallbacks += "fallback" in draws.info
                if local.steps % 10 == 0:
                    compared += 1
                    wrong += not np.array_equal(draws.states, reference.draw(problem, READS, seed=step).states)
                local.learn(draws)

                wander = 0.98 * wander + 0.03 * rng.normal()
                machine.gain, machine.flip_rate = _drifted(here.steps, wander), 0.01 + 0.008 * np.sin(here.steps / 110)
                before = controlled.scale
                here.learn(controlled.draw(here.problem, READS, seed=rng))
                if here.steps > 30:
                    scale_errors.append(abs(float(np.log(machine.gain * before))))
                if t - sampled >= 1.0:
                    sampled = t
                    memory["this process"].append(_resident(os.getpid()))
                    memory["server"].append(_resident(server.process.pid))
                if time.monotonic() - killed > kill_every and (pids := server.workers()):
                    killed, kills = time.monotonic(), kills + 1
                    os.kill(int(rng.choice(pids)), signal.SIGKILL)
        finally:
            code = server.stop()
        rows = read_ledger(folder / "ledger.jsonl")
        leaked = server.token in server.log.read_text() + (folder / "ledger.jsonl").read_text()
    return _judge(
        {
            "minutes": minutes, "spins": SPINS, "reads a step": READS, "steps over HTTP": local.steps,
            "steps on the machine": here.steps, "workers killed": kills, "calls in the ledger": len(rows),
            "failed calls": sum(row["outcome"] != "ok" for row in rows), "draws from the reserve": fallbacks,
            "answers compared": compared, "wrong answers": wrong, "server's exit code": code, "token leaked": leaked,
            "KL over HTTP": _last(local.divergences), "KL on the machine": _last(here.divergences),
            "KL at the start": float(local._goal @ np.log(local._goal * 2**SPINS)),
            "scale error, median": float(np.median(scale_errors)) if scale_errors else float("nan"),
            "scale error, 95 %": float(np.quantile(scale_errors, 0.95)) if scale_errors else float("nan"),
            **{f"growth of {name} (MiB)": _growth(series) for name, series in memory.items()},
            **{f"memory of {name} (MiB)": _last(series) for name, series in memory.items()},
        }
    )  # fmt: skip


def _last(series: list[float]) -> float:
    return float(np.mean(series[-5:])) if series else float("nan")


def _growth(series: list[float]) -> float:
    """Median of the last quarter above that of the second: the first quarter warms up."""
    quarter = len(series) // 4
    if quarter < 2:
        return float("nan")
    return float(np.median(series[-quarter:]) - np.median(series[quarter : 2 * quarter]))


def _judge(figures: dict[str, Any]) -> dict[str, Any]:
    verdicts = {
        "no wrong answer": figures["wrong answers"] == 0 and figures["answers compared"] > 0,
        "memory flat": not any(v > MOST_GROWTH for k, v in figures.items() if k.startswith("growth")),
        "effective temperature tracked": figures["scale error, median"] < MOST_SCALE_ERROR
        and figures["scale error, 95 %"] < MOST_SCALE_ERROR_95,
        "both learned": max(figures["KL over HTTP"], figures["KL on the machine"]) < MOST_KL,
        "clean end, no credentials": figures["server's exit code"] == 0 and not figures["token leaked"],
    }
    return {"machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}",
            "figures": figures, "verdicts": verdicts}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    options = parser.parse_args()
    report = soak(options.minutes, options.seed)
    print(f"machine: {report['machine']}")
    for name, value in report["figures"].items():
        print(f"  {name:32} {value:.4g}" if isinstance(value, float) else f"  {name:32} {value}")
    for name, passed in report["verdicts"].items():
        print(f"  {'pass' if passed else 'FAIL'}  {name}")
    if options.out:
        write_json(options.out, report)
    return 0 if all(report["verdicts"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
