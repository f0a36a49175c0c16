"""The effective inverse temperature, against its definition and against `dwave.system`."""

from __future__ import annotations

import numpy as np
import pytest

import samplers
from samplers import Ising
from samplers.diagnostics.temperature import aligned_fields


def _problem(n: int = 20) -> Ising:
    rng = np.random.default_rng(5)
    return Ising(0.2 * rng.normal(size=n), np.triu(rng.normal(size=(n, n)) / np.sqrt(n), 1))


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0, 2.5])
def test_exact_samples_show_their_temperature(beta):
    problem = _problem()
    states = samplers.get("exact").draw(problem, 4000, beta, seed=0).states
    value, error = samplers.effective_beta(problem, states)
    assert abs(value - beta) < 5 * error < 0.5


def test_the_error_covers_the_scatter():
    problem = _problem(12)
    estimates = np.array(
        [samplers.effective_beta(problem, samplers.get("exact").draw(problem, 400, seed=k).states) for k in range(60)]
    )
    z = (estimates[:, 0] - 1) / estimates[:, 1]
    assert 0.7 < z.std() < 1.35 and abs(z.mean()) < 0.6


def test_equal_to_dwave_system():
    from dwave.system import temperatures

    problem = _problem()
    draws = samplers.get("exact").draw(problem, 500, 1.7, seed=1)
    theirs = temperatures.maximum_pseudolikelihood_temperature(problem.to_bqm(), draws.to_sampleset(problem))[0]
    assert samplers.effective_beta(problem, draws.states)[0] == pytest.approx(1 / theirs, rel=1e-3)


def test_weights_are_multiplicities():
    problem = _problem()
    states = samplers.get("exact").draw(problem, 50, seed=2).states
    repeats = np.random.default_rng(0).integers(1, 4, size=50)
    assert samplers.effective_beta(problem, states, weights=repeats)[0] == pytest.approx(
        samplers.effective_beta(problem, np.repeat(states, repeats, axis=0))[0], rel=1e-5
    )


def test_ground_states_have_no_temperature():
    problem = Ising([-1.0, -1.0], [[0.0, -1.0], [0.0, 0.0]])
    assert samplers.effective_beta(problem, np.ones((10, 2))) == (np.inf, np.inf)


@pytest.mark.parametrize("make", ["bipartite", "sparse"])
def test_fields_of_every_layout(make):
    rng, W = np.random.default_rng(3), np.random.default_rng(3).normal(size=(4, 3))
    problem = Ising.bipartite(np.ones(4), np.zeros(3), W) if make == "bipartite" else Ising(np.ones(4), {(0, 2): 1.5})
    states = rng.choice([-1, 1], size=(9, problem.n)).astype(np.int8)
    dense = Ising(problem.h, problem.dense)
    np.testing.assert_allclose(aligned_fields(problem, states), aligned_fields(dense, states), atol=1e-5)


@pytest.mark.parametrize("wrong", [np.ones((3, 5)), np.zeros((3, 20)), np.full((3, 20), 2)])
def test_wrong_states(wrong):
    with pytest.raises(samplers.InputError):
        samplers.effective_beta(_problem(), wrong)
    with pytest.raises(samplers.InputError, match="weights"):
        samplers.effective_beta(_problem(), np.ones((3, 20)), weights=[1.0, -1.0, 0.0])
    with pytest.raises(samplers.InputError, match="field"):
        samplers.effective_beta(Ising(np.zeros(3), {}), np.ones((3, 3)))
