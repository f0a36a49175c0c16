"""Enumeration and tree decomposition."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import samplers
from samplers import Ising
from samplers.strategies import tree
from samplers.strategies.exact import enumerate_energies, exact_log_z, exact_moments, log_z_by_enumeration, states_of


def _random_sparse(n: int, density: float, seed: int) -> Ising:
    rng = np.random.default_rng(seed)
    J = np.triu(rng.normal(size=(n, n)) * (rng.random((n, n)) < density), 1)
    return Ising(rng.normal(size=n), sp.csr_array(J), offset=rng.normal())


@given(n=st.integers(1, 10), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_enumeration_lists_every_energy(n, seed):
    problem = _random_sparse(n, 0.5, seed)
    states = states_of(np.arange(2**n), n)
    assert len(np.unique(states, axis=0)) == 2**n
    np.testing.assert_allclose(enumerate_energies(problem), problem.energies(states), atol=1e-9)


@given(n=st.integers(1, 11), density=st.floats(0, 1), seed=st.integers(0, 1000), beta=st.floats(0, 3))
@settings(max_examples=25, deadline=None)
def test_elimination_equals_enumeration(n, density, seed, beta):
    problem = _random_sparse(n, density, seed)
    elimination = tree.plan(problem)
    assert elimination is not None and sorted(elimination.order) == list(range(n))
    assert tree.eliminate(problem, elimination, beta)[0] == pytest.approx(log_z_by_enumeration(problem, beta), abs=1e-9)


def test_elimination_draws_the_distribution():
    problem, num = _random_sparse(9, 0.3, 4), 100_000
    log_z, tables = tree.eliminate(problem, elimination := tree.plan(problem), 0.8)
    states = tree.draw(elimination, tables, num, np.random.default_rng(0))
    p = np.exp(-0.8 * enumerate_energies(problem) - log_z)
    counts = np.bincount((states > 0) @ (1 << np.arange(9)), minlength=512)
    # chi-square with 511 degrees of freedom, five standard deviations
    kept = p * num > 1
    chi2 = ((counts - p * num)[kept] ** 2 / (p * num)[kept]).sum()
    assert abs(chi2 - kept.sum()) < 5 * np.sqrt(2 * kept.sum())


def test_a_long_ladder_is_exact():
    rng, n = np.random.default_rng(1), 400
    edges = {(i, i + 1): rng.normal() for i in range(n - 1)} | {(i, i + 2): rng.normal() for i in range(n - 2)}
    problem = Ising(rng.normal(size=n), edges)
    draws = samplers.get("exact").draw(problem, 500, seed=0)
    assert draws.info["treewidth"] == 2 and draws.info["independent_reads"]
    beta, error = samplers.effective_beta(problem, draws.states)
    assert abs(beta - 1) < 5 * error < 0.1
    # the transfer matrix of the ladder, spin pairs as states
    assert draws.info["log_z"] == pytest.approx(_transfer(problem, n), rel=1e-10)


def _transfer(problem: Ising, n: int) -> float:
    J, h, sign = problem.dense, problem.h, np.array([-1.0, 1.0])
    message = -h[0] * sign[:, None] - h[1] * sign[None, :] - J[0, 1] * np.outer(sign, sign)
    for k in range(2, n):
        total = (
            message[:, :, None] - h[k] * sign - J[k - 2, k] * np.einsum("a,c->ac", sign, sign)[:, None, :]
            - J[k - 1, k] * np.outer(sign, sign)[None]
        )  # fmt: skip
        message = np.logaddexp(total[0], total[1])
    return float(np.logaddexp.reduce(message.ravel()))


def test_enumeration_of_16_spins_draws_the_moments():
    rng = np.random.default_rng(2)
    J = np.triu(rng.normal(size=(16, 16)) / 4, 1)
    problem = Ising(0.2 * rng.normal(size=16), J)
    draws = samplers.get("exact").draw(problem, 50_000, seed=1)
    mean, second = exact_moments(problem)
    assert np.abs(draws.mean() - mean).max() < 5.5 / np.sqrt(50_000)
    assert np.abs(draws.second_moments() - second).max() < 5.5 / np.sqrt(50_000)
    assert draws.info["log_z"] == pytest.approx(exact_log_z(problem))


def test_what_is_too_wide_is_refused_with_the_cure():
    problem = Ising(np.zeros(80), np.triu(np.ones((80, 80)), 1))
    with pytest.raises(samplers.InputError, match="parallel-tempering"):
        samplers.get("exact").draw(problem)
