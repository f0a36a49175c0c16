from __future__ import annotations

import numpy as np
import pytest

import samplers


def enumerate_moments(problem: samplers.Ising, beta: float = 1.0) -> np.ndarray:
    """Second moments by enumeration, independent of the package's own kernels."""
    states = ((np.arange(2**problem.n)[:, None] >> np.arange(problem.n)) & 1) * 2.0 - 1
    energy = states @ problem.h + 0.5 * np.einsum("si,ij,sj->s", states, problem.dense, states)
    weights = np.exp(-beta * (energy - energy.min()))
    weights /= weights.sum()
    return states.T @ (states * weights[:, None])


def excess_over_floor(problem: samplers.Ising, states: np.ndarray, beta: float = 1.0) -> float:
    """Root mean square error of E[s_i s_j] over that of as many independent exact samples."""
    exact = enumerate_moments(problem, beta)
    spins = states.astype(np.float64)
    upper = np.triu_indices(problem.n, 1)
    found = (spins.T @ spins / len(spins))[upper]
    floor = np.sqrt(np.mean(1 - exact[upper] ** 2) / len(spins))
    return float(np.sqrt(np.mean((found - exact[upper]) ** 2)) / floor)


def gaussian(n: int, g: float, seed: int, fields: float = 0.2) -> samplers.Ising:
    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.normal(0, g / np.sqrt(n), (n, n)), 1)
    return samplers.Ising(rng.normal(0, fields, n), couplings + couplings.T)


@pytest.fixture
def weak() -> samplers.Ising:
    return gaussian(10, 0.7, seed=3)


@pytest.fixture
def excess():
    return excess_over_floor
