"""The problem: layouts, conversions, energies, conditioning, and what it refuses."""

from __future__ import annotations

import dimod
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers import InputError, Ising
from samplers.strategies.exact import enumerate_energies, log_z_by_enumeration, states_of


def _random(n: int, seed: int, layout: str = "dense") -> Ising:
    rng = np.random.default_rng(seed)
    h, J = rng.normal(size=n), np.triu(rng.normal(size=(n, n)), 1)
    if layout == "bipartite":
        return Ising.bipartite(h[: n // 2], h[n // 2 :], J[: n // 2, n // 2 :], offset=0.3)
    return Ising(h, sp.csr_array(J) if layout == "sparse" else J, offset=0.3)


LAYOUTS = st.sampled_from(["dense", "bipartite", "sparse"])


@given(n=st.integers(2, 7), seed=st.integers(0, 500), layout=LAYOUTS, vartype=st.sampled_from(["SPIN", "BINARY"]))
@settings(max_examples=25, deadline=None)
def test_bqm_round_trip_keeps_every_energy(n, seed, layout, vartype):
    problem = _random(n, seed, layout)
    bqm = problem.to_bqm(vartype)
    states = states_of(np.arange(2**n), n)
    rows = states if vartype == "SPIN" else (states + 1) // 2
    np.testing.assert_allclose(bqm.energies((rows, list(problem.labels))), problem.energies(states), atol=1e-9)
    np.testing.assert_allclose(Ising.from_bqm(bqm).energies(states), problem.energies(states), atol=1e-9)


@given(n=st.integers(2, 8), seed=st.integers(0, 500))
@settings(max_examples=20, deadline=None)
def test_binary_form_keeps_log_z(n, seed):
    rng = np.random.default_rng(seed)
    b, W = rng.normal(size=n), np.triu(rng.normal(size=(n, n)), 1)
    W = W + W.T
    z = (states_of(np.arange(2**n), n) + 1) / 2
    log_p = z @ b + 0.5 * np.einsum("ki,ij,kj->k", z, W, z)
    problem = Ising.from_binary(b, W)
    np.testing.assert_allclose(-enumerate_energies(problem), log_p, atol=1e-9)
    assert log_z_by_enumeration(problem) == pytest.approx(np.logaddexp.reduce(log_p))


@given(n=st.integers(4, 8), seed=st.integers(0, 500), layout=LAYOUTS)
@settings(max_examples=20, deadline=None)
def test_conditioning_keeps_energies(n, seed, layout):
    problem, clamped = _random(n, seed, layout), {0: 1, n - 1: -1}
    rest, free = problem.condition(clamped)
    states = states_of(np.arange(2**n), n)
    states = states[(states[:, 0] == 1) & (states[:, n - 1] == -1)]
    np.testing.assert_allclose(rest.energies(states[:, free]), problem.energies(states), atol=1e-9)


@given(n=st.integers(2, 7), seed=st.integers(0, 500), layout=LAYOUTS)
@settings(max_examples=20, deadline=None)
def test_layouts_agree(n, seed, layout):
    problem = _random(n, seed, layout)
    dense = Ising(problem.h, problem.dense, offset=problem.offset)
    states = np.random.default_rng(seed).choice([-1, 1], size=(6, n))
    np.testing.assert_allclose(problem.energies(states), dense.energies(states), atol=1e-9)
    np.testing.assert_allclose(problem.local_fields(states), dense.local_fields(states), atol=1e-9)
    assert problem.content_hash == dense.content_hash and problem == dense
    flipped = states.copy()
    flipped[:, 0] *= -1
    change = problem.energies(flipped) - problem.energies(states)
    np.testing.assert_allclose(change, 2 * states[:, 0] * problem.local_fields(states)[:, 0], atol=1e-9)
    np.testing.assert_allclose(problem.scaled(2.5).energies(states), 2.5 * problem.energies(states), atol=1e-9)


def test_three_spellings_of_one_problem():
    upper = np.array([[0, 1.0, 0], [0, 0, -2.0], [0, 0, 0]])
    same = [Ising(np.ones(3), J) for J in (upper, upper + upper.T, sp.csr_array(upper), {(0, 1): 1.0, (2, 1): -2.0})]
    assert len({p.content_hash for p in same}) == 1
    assert Ising(np.ones(3), upper * 1.01).content_hash != same[0].content_hash


def test_an_unchecked_problem_is_the_checked_one():
    checked = _random(6, 0)
    assert Ising.unchecked(checked.h, checked.dense, offset=checked.offset) == checked
    states = np.random.default_rng(0).choice([-1, 1], size=(5, 6))
    np.testing.assert_array_equal(
        Ising.unchecked(checked.h, checked.dense, offset=0.3).energies(states), checked.energies(states)
    )


def test_labels_keep_the_models_order():
    bqm = dimod.BinaryQuadraticModel({"b": 1.0, "a": -1.0}, {("b", "a"): 0.5}, "SPIN")
    problem = Ising.from_bqm(bqm)
    assert list(problem.labels) == ["b", "a"] and problem.h.tolist() == [1.0, -1.0]
    assert list(problem.to_bqm().variables) == ["b", "a"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0, np.nan], {}), r"h\[1\]"),
        (([[0.0]], {}), "shape"),
        (([0, 0], [[0, np.inf], [0, 0]]), r"J\[0, 1\]"),
        (([0, 0], [[1.0, 0], [0, 0]]), "spin 0 is coupled to itself"),
        (([0, 0], sp.csr_array([[0.0, 0], [0, 2]])), "spin 1 is coupled to itself"),
        (([0, 0], [[0, 1.0], [2.0, 0]]), "neither symmetric nor triangular"),
        (([0, 0], np.zeros((3, 3))), "2 spins"),
        (([0, 0], {(0, 5): 1.0}), r"\(0, 5\)"),
        (([0, 0], {(1, 1): 1.0}), "itself"),
    ],
)
def test_bad_problems_are_named(arguments, words):
    with pytest.raises(InputError, match=words):
        Ising(*arguments)


@pytest.mark.parametrize("clamped", [{5: 1}, {-1: 1}, {0: 0}])
def test_bad_clamps_are_named(clamped):
    with pytest.raises(InputError, match="clamped spin"):
        Ising(np.zeros(3), {}).condition(clamped)
    with pytest.raises(InputError, match=r"W\[0, 1\]"):
        Ising.bipartite([0.0], [0.0, 0.0], [[1.0, np.nan]])
