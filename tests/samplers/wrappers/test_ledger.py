from __future__ import annotations

import json
import multiprocessing
import os

import dimod.testing
import numpy as np
import pytest

from samplers import Draws, InputError, Ising, Sampler
from samplers.errors import RemoteError
from samplers.files import append_line
from samplers.remote.machine import Machine
from samplers.remote.secrets import Secret
from samplers.wrappers.ledger import Ledger, QuotaError, machine_of, read_ledger
from samplers.wrappers.resilience import Fallback, Retry

PROBLEM = Ising(np.zeros(6), {(0, 1): 0.3})


class Qpu(Sampler):
    """A machine with prices and a quota, that works for 2 s a call as it says."""

    name = "qpu"

    def __init__(self, **facts):
        self.machine = Machine("QPU-7", **facts)
        self.error = None

    def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
        if self.error:
            raise self.error
        states = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (num_reads, problem.n))
        return Draws(states, info={"timing": {"machine": 2.0}})


def test_every_call_is_a_line_with_its_cost(tmp_path):
    path = tmp_path / "deep" / "ledger.jsonl"
    child = Qpu(price_per_call=1.0, price_per_read=0.01, price_per_second=0.5)
    ledger = Ledger(Retry(child), path)
    draws = ledger.draw(PROBLEM, 50, 0.7, seed=1)
    (row,) = read_ledger(path)
    assert draws.info["ledger"] == row and row["outcome"] == "ok" and row["machine"] == "QPU-7"
    assert row["reads"] == 50 and row["spins"] == 6 and row["beta"] == 0.7 and row["machine_seconds"] == 2.0
    assert row["cost"] == pytest.approx(1.0 + 0.5 + 1.0) and row["problem"] == PROBLEM.content_hash[:16]
    ledger.draw(PROBLEM, 50)
    again = Ledger(child, path)
    assert again.totals == ledger.totals and again.totals["calls"] == 2 and again.totals["cost"] == pytest.approx(5.0)


def test_failures_are_lines_too_without_credentials(tmp_path):
    child, secret = Qpu(price_per_call=1.0), Secret("tell-nobody", "SOME_TOKEN")
    child.error = RemoteError("401 for token tell-nobody")
    ledger = Ledger(child, tmp_path / "ledger.jsonl")
    with pytest.raises(RemoteError):
        ledger.draw(PROBLEM, 5)
    (row,) = read_ledger(ledger.path)
    assert row["outcome"] == "RemoteError" and row["error"] == "401 for token ***" and row["cost"] == 0.0
    assert ledger.totals["failures"] == 1 and ledger.totals["reads"] == 0 and secret


@pytest.mark.parametrize(
    ("facts", "named"), [({"quota_calls": 2}, "2 calls"), ({"quota_reads": 120}, "120 reads"), ({"quota_seconds": 3.0}, "3 seconds")]
)  # fmt: skip
def test_the_quota_is_kept_and_the_reserve_steps_in(tmp_path, facts, named):
    ledger = Ledger(Qpu(**facts), tmp_path / "ledger.jsonl")
    ledger.draw(PROBLEM, 50)
    ledger.draw(PROBLEM, 50)
    with pytest.raises(QuotaError, match=f"{named} on 'QPU-7'"):
        ledger.draw(PROBLEM, 50)
    assert issubclass(QuotaError, InputError)
    with pytest.warns(RuntimeWarning, match="quota"):
        assert len(Fallback(Retry(ledger), Qpu()).draw(PROBLEM, 50)) == 50


def test_a_torn_line_costs_only_itself(tmp_path):
    path = tmp_path / "ledger.jsonl"
    append_line(path, json.dumps({"outcome": "ok", "reads": 1}))
    with path.open("a") as file:
        file.write('{"outcome": "o')
    append_line(path, json.dumps({"outcome": "ok", "reads": 2}))
    assert [row["reads"] for row in read_ledger(path)] == [1, 2]


def write_lines(path: str, count: int) -> None:
    for k in range(count):
        append_line(path, json.dumps({"pid": os.getpid(), "k": k, "padding": "x" * 5000}))


def test_lines_of_several_processes_never_mix(tmp_path):
    from pathlib import Path

    path = Path(tmp_path / "ledger.jsonl")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write_lines, args=(path, 50)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(read_ledger(path)) == 200 == len(path.read_text().splitlines())


def test_it_is_a_dimod_sampler(tmp_path):
    ledger = Ledger(Qpu(), tmp_path / "l")
    dimod.testing.assert_sampler_api(ledger)
    assert machine_of(ledger).name == "QPU-7" and machine_of(Retry("exact")) is None
