"""Persistent chains: they follow a drifting problem, resume bit by bit, and start again when they must."""

from __future__ import annotations

import numpy as np
import pytest

import samplers
from samplers import Ising
from samplers.strategies.exact import exact_moments
from samplers.strategies.gibbs import Gibbs

N = 12


def _couplings(seed: int = 0) -> np.ndarray:
    return np.triu(np.random.default_rng(seed).normal(size=(N, N)) / np.sqrt(N), 1)


def _drift(steps: int, g: float, seed: int = 0):
    end = Ising(np.full(N, 0.1), g * _couplings(seed))
    return [end.scaled((k + 1) / steps) for k in range(steps)]


def _error(draws, problem) -> float:
    """Root mean square error of the second moments, in units of that of as many independent reads."""
    exact = exact_moments(problem)[1]
    pairs = np.triu_indices(N, 1)
    floor = np.sqrt((1 - exact[pairs] ** 2).mean() / len(draws))
    return float(np.sqrt(np.square((draws.second_moments() - exact)[pairs]).mean()) / floor)


def test_weights_follow_the_drift():
    ours, plain = [], []
    for seed in range(3):
        problems, rng = _drift(30, 3.0, seed), np.random.default_rng(seed)
        sampler = samplers.get("persistent", num_sweeps=1)
        states = rng.choice([-1, 1], size=(4096, N))
        for k, problem in enumerate(problems):
            draws = sampler.draw(problem, 4096, seed=rng)
            states = Gibbs(num_sweeps=1).draw(problem, 4096, initial_states=states, seed=rng).states
            assert draws.info["restarted"] == (k == 0)
        ours.append(_error(draws, problem))
        plain.append(_error(samplers.Draws(states), problem))
    assert np.mean(ours) < 1.5
    assert np.mean(ours) < 0.4 * np.mean(plain)


@pytest.mark.parametrize("layout", ["dense", "bipartite"])
def test_state_resumes_bit_by_bit(layout):
    def problem(k):
        J = (1 + 0.01 * k) * _couplings()
        return Ising(np.zeros(N), J) if layout == "dense" else Ising.bipartite(np.zeros(7), np.zeros(5), J[:7, 7:])

    sampler = samplers.get("persistent")
    for k in range(30):
        sampler.draw(problem(k), 200, seed=np.random.default_rng(1) if k == 0 else None)
    state = sampler.state_dict()
    resumed = samplers.get("persistent")
    resumed.load_state_dict(state)
    for k in range(30, 60):
        a, b = sampler.draw(problem(k), 200), resumed.draw(problem(k), 200)
        assert np.array_equal(a.states, b.states)
        assert np.array_equal(a.log_weights, b.log_weights) and np.array_equal(a.energies, b.energies)
    samplers.get("persistent").load_state_dict(samplers.get("persistent").state_dict())
    with pytest.raises(samplers.InputError, match="lacks"):
        resumed.load_state_dict({"spins": 1})


def test_chains_are_refreshed_now_and_then():
    problem, rng = _drift(1, 1.0)[0], np.random.default_rng(0)

    def restarts(num, **options):
        sampler = samplers.get("persistent", **options)
        return [k for k in range(num) if sampler.draw(problem, 100, seed=rng).info["restarted"]]

    assert restarts(12, refresh=5) == [0, 5, 10]
    assert restarts(12, refresh=None) == [0]
    assert restarts(201) == [0, 200]
    with pytest.raises(samplers.InputError, match="refresh"):
        samplers.get("persistent", refresh=0)


def test_a_resumed_sampler_refreshes_when_the_first_would():
    problem = _drift(1, 1.0)[0]
    sampler, resumed = (samplers.get("persistent", refresh=7) for _ in range(2))
    for _ in range(5):
        sampler.draw(problem, 100)
    resumed.load_state_dict(sampler.state_dict())
    for _ in range(5):
        one, two = sampler.draw(problem, 100), resumed.draw(problem, 100)
        assert one.info["restarted"] == two.info["restarted"]
        assert np.array_equal(one.states, two.states)
    assert two.info["restarted"] is False and sampler.draw(problem, 100).info["restarted"] is False


def test_a_state_is_a_snapshot():
    sampler = samplers.get("persistent")
    sampler.draw(_drift(1, 1.0)[0], 100)
    state = sampler.state_dict()
    before = state["spins"].copy()
    sampler.draw(_drift(1, 1.5)[0], 100)
    assert np.array_equal(state["spins"], before)


def test_a_jump_starts_the_chains_again():
    sampler = samplers.get("persistent")
    first, other = Ising(np.zeros(N), 3 * _couplings()), Ising(np.zeros(N), 3 * _couplings(7))
    sampler.draw(first, 2000, seed=np.random.default_rng(0))
    draws = sampler.draw(other, 2000)
    assert draws.info["restarted"] and _error(draws, other) < 2.5
    assert sampler.draw(Ising(np.zeros(5), np.zeros((5, 5))), 64).info["restarted"]


def test_an_integer_seed_starts_afresh_and_a_generator_goes_on():
    sampler, problem = samplers.get("persistent"), _drift(1, 1.0)[0]
    first = sampler.draw(problem, 100, seed=3)
    rng = np.random.default_rng(0)
    assert not sampler.draw(problem, 100, seed=rng).info["restarted"]
    again = sampler.draw(problem, 100, seed=3)
    assert again.info["restarted"] and np.array_equal(first.states, again.states)


def test_reads_need_not_be_as_many_as_chains():
    sampler, problem = samplers.get("persistent", num_chains=256), _drift(1, 1.0)[0]
    many = sampler.draw(problem, 1000, seed=1)
    assert len(many) == 1000 and many.info["num_chains"] == 256 and len(many.log_weights) == 1000
    few = sampler.draw(problem, 10)
    assert len(few) == 10 and few.log_weights is None


def test_a_clamped_draw_leaves_the_chains_alone():
    sampler, twin = samplers.get("persistent"), samplers.get("persistent")
    problem = _drift(1, 1.0)[0]
    for s in (sampler, twin):
        s.draw(problem, 100, seed=np.random.default_rng(4))
    clamped = sampler.draw(problem, 50, clamped={2: -1}, seed=9)
    assert (clamped.states[:, 2] == -1).all()
    assert np.array_equal(sampler.draw(problem, 100).states, twin.draw(problem, 100).states)


def test_beta_may_drift_too():
    sampler, problem = samplers.get("persistent"), Ising(np.full(N, 0.1), _couplings())
    rng = np.random.default_rng(2)
    for beta in np.linspace(0.2, 1.5, 40):
        draws = sampler.draw(problem, 4096, beta, seed=rng)
    assert _error(draws, problem.scaled(1.5)) < 1.8


def test_initial_states_replace_the_start():
    sampler, ones = samplers.get("persistent", num_sweeps=1), np.ones((1, N))
    frozen = Ising(np.full(N, -30.0), np.zeros((N, N)))
    draws = sampler.draw(frozen, 20, initial_states=ones)
    assert (draws.states == 1).all() and draws.info["restarted"]
    with pytest.raises(samplers.InputError, match="3 rows for 20 reads"):
        sampler.draw(frozen, 20, initial_states=np.ones((3, N)))
