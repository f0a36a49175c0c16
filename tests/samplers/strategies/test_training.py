"""The training test: a Boltzmann machine learnt through each local sampler reaches the distribution of its data."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import samplers
from samplers import Ising
from samplers.strategies.exact import enumerate_energies, exact_moments

N, STEPS = 12, 150
CHAINS = 1024
LOCAL = {
    "exact": {},
    "gibbs": {"num_sweeps": 30},
    "persistent": {},
    "population-annealing": {"num_sweeps": 24},
    "parallel-tempering": {"num_sweeps": 24},
    "simulated-annealing": {"num_sweeps": 24},
}


@functools.cache
def _data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the teacher's distribution and moments: strong couplings, several modes."""
    rng = np.random.default_rng(0)
    teacher = Ising(0.2 * rng.normal(size=N), np.triu(1.5 * rng.normal(size=(N, N)) / np.sqrt(N), 1))
    log_p = -enumerate_energies(teacher)
    p = np.exp(log_p - log_p.max())
    return p / p.sum(), *exact_moments(teacher)


def _kl(problem: Ising) -> float:
    p = _data()[0]
    log_q = -enumerate_energies(problem)
    top = log_q.max()
    return float(p @ (np.log(p) - log_q + top + np.log(np.exp(log_q - top).sum())))


def _train(moments, sign: float = 1.0) -> float:
    """Return the excess KL after gradient ascent with a decaying rate; `moments(problem, k)` is the negative phase."""
    _, mean, second = _data()
    h, J = np.zeros(N), np.zeros((N, N))
    for k in range(STEPS):
        problem = Ising(h, J)
        model_mean, model_second = moments(problem, k)
        rate = 0.3 * (1 - k / STEPS) ** 0.5
        # E = h.s + s'Js/2: the gradient of the mean log-likelihood is the model's moment less the data's
        h = h + sign * rate * (model_mean - mean)
        J = J + sign * rate * (model_second - second)
        np.fill_diagonal(J, 0.0)
        J = (J + J.T) / 2
    return _kl(Ising(h, J))


@functools.cache
def _exact_gradient() -> float:
    return _train(lambda problem, k: exact_moments(problem))


def _sampled(name: str):
    sampler, rng = samplers.get(name, **LOCAL[name]), np.random.default_rng(1)

    def moments(problem, k):
        draws = sampler.draw(problem, CHAINS, seed=rng)
        return draws.mean(), draws.second_moments()

    return moments


@pytest.mark.parametrize("name", LOCAL)
def test_training_reaches_the_data(name):
    start = _kl(Ising(np.zeros(N), np.zeros((N, N))))
    excess = _train(_sampled(name))
    assert excess < 3 * _exact_gradient()
    assert excess < 0.05 * start


def test_the_sign_is_right():
    # climbing the wrong way leaves the data behind: the test above cannot pass by luck
    start = _kl(Ising(np.zeros(N), np.zeros((N, N))))
    assert _train(lambda problem, k: exact_moments(problem), sign=-0.05) > start
