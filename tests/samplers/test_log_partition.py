"""log Z by every method, against enumeration."""

from __future__ import annotations

import numpy as np
import pytest

import samplers
from samplers import Ising
from samplers.strategies import annealed_importance
from samplers.strategies.exact import log_z_by_enumeration


def _problem(n: int = 18, g: float = 1.0) -> Ising:
    rng = np.random.default_rng(5)
    return Ising(0.2 * rng.normal(size=n), np.triu(g * rng.normal(size=(n, n)) / np.sqrt(n), 1), offset=-1.5)


@pytest.mark.parametrize("method", ["population-annealing", "ais", "reverse-ais"])
def test_estimates_agree_with_enumeration(method):
    problem = _problem()
    exact = log_z_by_enumeration(problem, 0.9)
    value, error = samplers.log_partition(problem, 0.9, seed=1, method=method, num_chains=512, num_sweeps=500)
    assert abs(value - exact) < 0.03
    assert 0 < error < 0.03 and abs(value - exact) < 5 * error


def test_auto_is_exact_where_it_can_be():
    problem = _problem(10)
    assert samplers.log_partition(problem) == (pytest.approx(log_z_by_enumeration(problem), abs=1e-9), 0.0)
    chain = Ising(np.zeros(300), {(i, i + 1): 0.7 for i in range(299)})
    value, error = samplers.log_partition(chain, 1.0)
    assert value == pytest.approx(300 * np.log(2) + 299 * np.log(np.cosh(0.7))) and error == 0


def test_large_problems_are_bracketed():
    problem = _problem(100, 0.8)
    value, error = samplers.log_partition(problem, seed=2, num_sweeps=100)
    below = samplers.log_partition(problem, seed=3, method="ais", num_chains=256, num_sweeps=100)
    assert error < 0.1 and abs(value - below[0]) < 6 * np.hypot(error, below[1])


def test_weights_of_ais_average_to_z():
    problem, rng = _problem(8), np.random.default_rng(0)
    log_weights, states = annealed_importance.forward(problem, 4096, 10, 1.0, rng)
    exact = log_z_by_enumeration(problem)
    ratio = np.exp(log_weights - exact)
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / 64 and states.shape == (4096, 8)
    drawn = samplers.get("exact").draw(problem, 4096, seed=1).states
    inverse = np.exp(exact - annealed_importance.reverse(problem, drawn, 10, 1.0, rng))
    assert abs(inverse.mean() - 1) < 5 * inverse.std() / 64


@pytest.mark.parametrize(
    "wrong", [{"method": "magic"}, {"num_chains": 3}, {"num_sweeps": 0}, {"beta": -1.0}, {"method": "exact"}]
)
def test_wrong_arguments(wrong):
    with pytest.raises(samplers.InputError):
        samplers.log_partition(_problem(40), **wrong)


def test_the_seed_decides():
    problem = _problem(30)
    assert samplers.log_partition(problem, seed=4, num_sweeps=20) == samplers.log_partition(
        problem, seed=4, num_sweeps=20
    )
