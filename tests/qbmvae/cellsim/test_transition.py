"""Planted gates come back from two conditions' cells."""

from __future__ import annotations

import math

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from qbmvae.cellsim import GeneCircuit
from qbmvae.cellsim.ordering import Parents, best_order, good_order
from qbmvae.cellsim.parity import fit, likelihood
from qbmvae.cellsim.transition import correlation_differences, in_time, learn_transition
from samplers.errors import InputError

ACTIVATIONS = [0.2, 0.1, 0.4, 0.9, 0.8, 0.2]


def found(transition, condition="second"):
    table = transition.gates[transition.gates["condition"] == condition]
    return {(r.control, r.target, r.gate, r.sign) for r in table.itertuples()}


def cells(edges, seed, n=1500, activations=ACTIVATIONS):
    return GeneCircuit(activations, edges).sample(n, seed=seed)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_chain_against_another_circuit(seed):
    """The paper's two cases in small: other gates in each condition, a chain whose every link is a control in turn."""
    first, second = cells([(2, 1)], seed), cells([(3, 5), (5, 0)], seed + 10)
    transition = learn_transition(first, second, seed=seed)
    assert found(transition, "first") == {("g2", "g1", "cx", 1)}
    assert found(transition) == {("g3", "g5", "cx", 1), ("g5", "g0", "cx", 1)}
    assert transition.gates["control"].tolist()[1:] == ["g3", "g5"]  # in time order
    assert (transition.gates["held_out_gain"] > 50).all()
    np.testing.assert_allclose(transition.activations, ACTIVATIONS, atol=0.04)
    truth = GeneCircuit(ACTIVATIONS, [(3, 5), (5, 0)]).probabilities()
    assert np.abs(transition.circuit("second").probabilities() - truth).sum() / 2 < 0.05


def test_rotations_and_open_controls():
    edges = [(0, 2, "cx", 1, -1), (3, 1, "cry", 0.5, 1)]
    activations = [0.3, 0.2, 0.15, 0.6]
    transition = learn_transition(cells([], 0, 3000, activations), cells(edges, 1, 3000, activations))
    assert found(transition) == {("g0", "g2", "cx", -1), ("g3", "g1", "cry", 1)}
    assert found(transition, "first") == set()
    row = transition.gates[transition.gates["gate"] == "cry"].iloc[0]
    assert abs(row.angle - 0.5 * math.pi) < 4 * row.angle_se and row.angle_se < 0.06


def test_nothing_is_found_where_nothing_is():
    for seed in range(3):
        assert not len(learn_transition(cells([], seed), cells([], seed + 50), seed=seed).gates)


def test_what_cannot_be_told_is_not_found():
    """A flip of a gene that is on in half of the cells leaves the joint distribution as it is."""
    activations = [0.3, 0.5, 0.2]
    transition = learn_transition(cells([], 0, 1000, activations), cells([(0, 1)], 1, 1000, activations))
    assert not len(transition.gates)


def test_allowed_pairs_and_kinds():
    first, second = cells([], 0), cells([(3, 5)], 1)
    allowed = np.zeros((6, 6), bool)
    allowed[2, 1] = True
    assert not len(learn_transition(first, second, allowed=allowed).gates)
    frames = [pd.DataFrame(x, columns=list("abcdef")) for x in (first, second)]
    assert found(learn_transition(*frames, kinds=("cx",))) == {("d", "f", "cx", 1)}


def test_fisher_scoring_finds_the_maximum_of_the_likelihood():
    from scipy.optimize import minimize

    design = np.array([[1.0, 0, 0], [1, 1, 0], [1, 0, -1], [1, 1, 1]])
    total = np.array([400.0, 300, 200, 100])
    on = np.round(total * np.sin(design @ [0.8, 0.9, 0.4] / 2) ** 2)
    value, u, variance = fit(design, on, total)
    other = minimize(lambda v: -likelihood(design @ v, on, total), [0.7, 0.7, 0.3], method="Nelder-Mead", tol=1e-10)
    assert value == pytest.approx(-other.fun, abs=1e-6)
    np.testing.assert_allclose(u, other.x, atol=1e-3)
    np.testing.assert_allclose(variance, np.diag(np.linalg.inv(design.T @ (total[:, None] * design))), rtol=1e-6)


def test_rotations_that_take_their_target_past_pi_are_fitted_on_the_right_side():
    """2.73 + 1.40 lies beyond pi: the second rotation lowers what it raises where the first one acts too."""
    design = np.array([[1.0, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1]])
    total, angles = np.array([700.0, 500, 400, 300]), np.array([2.73, -1.29, 1.40])
    on = np.round(total * np.sin(design @ angles / 2) ** 2)
    value, u, _ = fit(design, on, total)
    assert value == pytest.approx(likelihood(design @ angles, on, total), abs=0.5)
    np.testing.assert_allclose(np.sin(design @ u / 2) ** 2, on / total, atol=0.02)
    assert np.abs(u[1:]).max() <= math.pi


def test_two_rotations_that_undo_each_other_are_found():
    activations = [0.5, 0.4, 0.87, 0.3]
    edges = [(0, 2, "cry", 0.41, "-"), (1, 2, "cry", 0.45, "+"), (2, 3)]
    transition = learn_transition(cells([], 0, 2000, activations), cells(edges, 1, 2000, activations))
    pairs = {(row.control, row.target, row.gate) for row in transition.gates.itertuples()}
    assert pairs == {("g0", "g2", "cry"), ("g1", "g2", "cry"), ("g2", "g3", "cx")}


def test_flips_are_ordered_and_as_few_as_they_were():
    # (1 -> 2), then (0 -> 1): seen from the measured bits, gene 2 has both others as flips
    order = in_time([Parents(), Parents((0,)), Parents((0, 1))])
    assert order == [(1, 2, "cx", 1), (0, 1, "cx", 1)]
    assert in_time([Parents(), Parents((0,)), Parents((1,))]) == [(0, 1, "cx", 1), (1, 2, "cx", 1)]


@pytest.mark.parametrize("search", [best_order, good_order])
def test_the_best_order_of_genes_is_found(search):
    import itertools

    rng = np.random.default_rng(0)
    for n in (3, 5):
        gain = rng.normal(size=(n, n))
        value = lambda order, gain=gain: -sum(gain[order[0], g] for g in order[1:])  # noqa: E731
        total = lambda order, value=value: sum(value(order[k:]) for k in range(len(order)))  # noqa: E731
        best = max(map(total, itertools.permutations(range(n))))
        found = total(search(list(range(n)), value))
        # moves of one gene end in an order that no other move betters, which need not be the best
        assert found == pytest.approx(best) if search is best_order else found >= best - 1


def test_a_chain_of_flips_is_not_turned_round():
    """Pairs of a chain explain each other; which way round, only the whole chain tells."""
    on = np.array([0.733, 0.152, 0.69, 0.756, 0.063, 0.914, 0.866, 0.197])
    activations = (2 / math.pi * np.arcsin(np.sqrt(on))).tolist()
    edges = [(0, 1), (1, 3), (2, 3), (3, 4)]
    transition = learn_transition(cells([], 0, 2000, activations), cells(edges, 1, 2000, activations))
    assert found(transition) == {(f"g{c}", f"g{t}", "cx", 1) for c, t in edges} and not found(transition, "first")


def test_flips_and_rotations_mixed_are_told_apart():
    from experiments.simulation.transition_recovery import run_case

    for seed in (0, 1):
        case = run_case("mixed", 8, 4, 2000, seed)
        assert case["recall"] == case["precision"] == 1, case


def test_correlation_differences_see_pairs_but_no_direction():
    table = correlation_differences(cells([], 0), cells([(3, 5)], 1))
    assert set(table.iloc[0][["one", "other"]]) == {"g3", "g5"} and abs(table["z"][0]) > 5
    assert table["z"].abs().is_monotonic_decreasing


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: learn_transition(x, x[:, :3]), "6 and 3 genes"),
        (lambda x: learn_transition(x * 2, x), r"first\[\d+, \d+\] is 2: bits are 0 or 1"),
        (lambda x: learn_transition(x[:5], x), "20 cells"),
        (lambda x: learn_transition(x, ad.AnnData(x.astype(float))), "second is a AnnData of object: give an array"),
        (lambda x: learn_transition(x.astype(str), x), "first is a ndarray of <U3: give an array"),
        (lambda x: learn_transition(x, x, kinds=()), "kinds is empty: name gates to look for, of cx, open, cry"),
        (lambda x: learn_transition(x, x, names=("a", "a")), "each of the two conditions one of its own"),
        (lambda x: learn_transition(x, x, kinds=("crz",)), "no gate 'crz'"),
        (lambda x: learn_transition(x, x, genes=["a"]), "6 different names"),
        (lambda x: learn_transition(x, x, held_out=0), "between 0 and 1"),
        (lambda x: learn_transition(x, x, allowed=np.ones((2, 2))), "control by target"),
        (lambda x: learn_transition(x, x, allowed=np.zeros((6, 6))).circuit("third"), "no condition 'third'"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call(cells([], 0, 100))
