"""A long training towards modes that are far apart: kept chains must not lose a mode, nor their share of one."""

from __future__ import annotations

import numpy as np

import samplers
from samplers import Ising
from samplers.strategies.exact import states_of

N, STEPS, CHAINS = 14, 3000, 512
STATES = states_of(np.arange(2**N), N).astype(np.float64)


def _probabilities(h, J):
    logits = -(STATES @ h) - 0.5 * ((STATES @ J) * STATES).sum(axis=1)
    p = np.exp(logits - logits.max())
    return p / p.sum()


def _moments(p):
    return p @ STATES, STATES.T @ (STATES * p[:, None])


def _excess(goal, negative) -> float:
    """Return the KL that is left after gradient ascent towards `goal`."""
    mean, second = _moments(goal)
    h, J = np.zeros(N), np.zeros((N, N))
    for k in range(STEPS):
        rate = 0.05 * (1 - k / STEPS) ** 0.5
        model_mean, model_second = negative(h, J)
        h, upper = h + rate * (model_mean - mean), np.triu(J + rate * (model_second - second), 1)
        J = upper + upper.T
    return float(goal @ np.log(goal / _probabilities(h, J)))


def test_a_hard_training_ends_within_twice_the_excess_of_independent_samples():
    rng = np.random.default_rng(0)
    h, upper = 0.2 * rng.normal(size=N), np.triu(2.5 * rng.normal(size=(N, N)) / np.sqrt(N), 1)
    goal = _probabilities(h, upper + upper.T)

    def independent(h, J):
        return _moments(rng.multinomial(CHAINS, _probabilities(h, J)) / CHAINS)

    def kept(**options):
        sampler, stream = samplers.get("persistent", **options), np.random.default_rng(0)

        def negative(h, J):
            draws = sampler.draw(Ising(h, J), CHAINS, seed=stream)
            return draws.mean(), draws.second_moments()

        return negative

    least = _excess(goal, independent)
    assert _excess(goal, kept()) < 2 * least
    # the weights alone are not enough: noise in the modes' shares adds up, and a mode that is lost stays lost
    assert _excess(goal, kept(refresh=None)) > 4 * least
