"""Population annealing: weights, log Z, and problems whose modes plain sweeps weigh wrongly."""

from __future__ import annotations

import numpy as np
import pytest

import samplers
from samplers import Ising
from samplers.draws import systematic
from samplers.strategies.exact import enumerate_energies, log_z_by_enumeration
from samplers.strategies.weights import ess_share, log_mean_exp, resample_rows


def _two_clusters(n: int = 12) -> Ising:
    """Two ferromagnetic clusters with a weak bond and unequal fields: four modes of different weight."""
    J = np.zeros((n, n))
    half = n // 2
    J[:half, :half] = J[half:, half:] = -1.5 / half * 2
    J[0, half] = J[half, 0] = 0.3
    np.fill_diagonal(J, 0)
    h = np.full(n, -0.03)
    return Ising(h, J)


def _over_floor(draws, problem, rng):
    p = np.exp(-enumerate_energies(problem))
    p /= p.sum()
    index = (draws.states > 0) @ (1 << np.arange(problem.n))
    got = np.bincount(index, weights=draws.weights, minlength=len(p))
    num = len(draws)
    floor = np.mean([np.abs(rng.multinomial(num, p) / num - p).sum() for _ in range(5)])
    return np.abs(got - p).sum() / floor


@pytest.mark.parametrize("g", [2.0, 3.0, None])
def test_cold_start_reaches_the_floor(g):
    rng, ratios = np.random.default_rng(0), []
    for seed in range(12):
        J = np.triu((g or 0) * np.random.default_rng(seed).normal(size=(12, 12)) / np.sqrt(12), 1)
        problem = Ising(np.zeros(12), J) if g else _two_clusters()
        draws = samplers.get("population-annealing", num_sweeps=64).draw(problem, 20_000, seed=seed)
        ratios.append(_over_floor(draws, problem, rng))
    # a frozen problem has few states, so single ratios scatter by a third
    assert np.mean(ratios) < 1.15


def test_log_z():
    rng = np.random.default_rng(3)
    problem = Ising(0.3 * rng.normal(size=16), np.triu(rng.normal(size=(16, 16)) / 4, 1), offset=2.0)
    exact = log_z_by_enumeration(problem, 1.3)
    draws = samplers.get("population-annealing", num_sweeps=200).draw(problem, 2000, beta=1.3, seed=0)
    assert abs(draws.info["log_z"] - exact) < 0.05
    assert draws.info["families"] <= 2000 and 0 < draws.info["ess"] <= 1


def test_few_reads_come_from_a_population():
    problem = _two_clusters()
    draws = samplers.get("population-annealing").draw(problem, 3, seed=0)
    assert len(draws) == 3 and draws.log_weights is None and draws.info["population"] == 256


def test_weights_of_a_population():
    log_weights = np.log([1.0, 2.0, 1.0])
    assert ess_share(log_weights + 1000) == pytest.approx(16 / 6 / 3)
    assert log_mean_exp(log_weights + 1000) == pytest.approx(1000 + np.log(4 / 3))
    rows = resample_rows(np.array([-1e9, 0.0, -1e9]), 5, np.random.default_rng(0))
    assert (rows == 1).all()


def test_systematic_resampling_keeps_whole_numbers():
    weights = np.array([0.5, 0.25, 0.25])
    rows = systematic(weights, 8, np.random.default_rng(0))
    assert np.bincount(rows).tolist() == [4, 2, 2]


@pytest.mark.parametrize("wrong", [0, -3, 2.5, True, "many"])
@pytest.mark.parametrize("name", ["gibbs", "persistent", "population-annealing", "parallel-tempering"])
def test_num_sweeps_must_be_whole(name, wrong):
    with pytest.raises(samplers.InputError, match="num_sweeps"):
        samplers.get(name, num_sweeps=wrong)
