from __future__ import annotations

import numpy as np
import pytest

import samplers
from samplers.errors import InputError


def test_schedule_rises_and_ends_at_beta():
    schedule = samplers.get("simulated-annealing", num_sweeps=10).schedule()
    assert len(schedule) == 10
    assert (np.diff(schedule) >= 0).all()
    assert schedule[0] > 0 and schedule[-1] == 1
    assert (samplers.get("simulated-annealing", num_sweeps=4, ramp=0).schedule() == 1).all()


def test_reads_have_the_beta_that_was_asked_for():
    rng = np.random.default_rng(0)
    J = np.triu(rng.normal(0, 1 / 5, (25, 25)), 1)
    problem = samplers.Ising(rng.normal(0, 0.2, 25), J + J.T)
    for beta in (0.5, 1.0, 2.0):
        draws = samplers.get("simulated-annealing").draw(problem, 2000, beta, seed=1)
        found, error = samplers.effective_beta(problem, draws.states)
        assert abs(found - beta) < 4 * error + 0.01


def test_initial_states_are_the_start():
    problem = samplers.Ising(np.zeros(6), {(i, i + 1): -8.0 for i in range(5)})
    start = np.ones((30, 6), dtype=np.int8)
    states = samplers.get("simulated-annealing", num_sweeps=3).draw(problem, 30, initial_states=start, seed=0).states
    # a cold ferromagnet stays in the well where it started
    assert (states == 1).mean() > 0.99


def test_num_read_is_refused_not_ignored():
    bqm = samplers.Ising([0.1, 0.2], {(0, 1): 1.0}).to_bqm()
    with pytest.raises(InputError, match="num_read"):
        samplers.get("simulated-annealing").sample(bqm, num_read=99)
