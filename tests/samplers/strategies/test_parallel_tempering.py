"""Parallel tempering: the ladder, the trips, and a problem that single chains cannot do."""

from __future__ import annotations

import numpy as np

import samplers
from samplers import Ising
from samplers.kernels.dispatch import Kernel
from samplers.strategies import parallel_tempering as pt
from samplers.strategies.exact import exact_moments


def _spin_glass(n: int, g: float) -> Ising:
    J = np.triu(g * np.random.default_rng(1).normal(size=(n, n)) / np.sqrt(n), 1)
    return Ising(np.full(n, 0.02), J)


def test_the_ladder_is_even():
    ladder = pt.tune(Kernel(_spin_glass(48, 1.5)), 1.0, 100, np.random.default_rng(0))
    assert ladder[0] == 0 and ladder[-1] == 1 and (np.diff(ladder) > 0).all() and len(ladder) >= 5
    draws = samplers.get("parallel-tempering", num_sweeps=400).draw(_spin_glass(48, 1.5), 64, seed=0)
    acceptance = np.array(draws.info["acceptance"])
    assert acceptance.min() > 0.4 and acceptance.max() - acceptance.min() < 0.35
    assert draws.info["round_trips"] > draws.info["ladders"]


def test_beta_zero_needs_no_ladder():
    draws = samplers.get("parallel-tempering").draw(_spin_glass(10, 1.0), 2000, beta=0.0, seed=0)
    assert np.abs(draws.mean()).max() < 5 / np.sqrt(2000)


def test_frozen_problem():
    problem = _spin_glass(14, 4.0)
    mean, second = exact_moments(problem)
    draws = samplers.get("parallel-tempering", num_sweeps=300).draw(problem, 4000, seed=2)
    # reads of one ladder are correlated: at most 8 of them share one
    limit = 5 * np.sqrt(8 / 4000)
    assert np.abs(draws.mean() - mean).max() < limit
    assert np.abs(draws.second_moments() - second).max() < limit


def test_rungs_stay_a_permutation_and_trips_count():
    rng, kernel = np.random.default_rng(0), Kernel(_spin_glass(8, 1.0))
    ladders = pt.start(kernel, 5, np.linspace(0, 1, 4), rng)
    for _ in range(50):
        pt.step(kernel, ladders, 1.0, rng)
    assert (np.sort(ladders.rung, axis=1) == np.arange(4)).all()
    assert ladders.round_trips > 0
