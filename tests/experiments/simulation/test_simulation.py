from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.simulation.grn_methods import METHODS, binarise
from experiments.simulation.grn_recovery import beeline_cases, random_circuit, score, simulated_cases
from experiments.simulation.table3 import APART, PUBLISHED, TOGETHER, run, show, variants
from qbmvae.cellsim import GeneCircuit, simulate

CONFIGS = Path(__file__).parents[3] / "experiments" / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("simulate*.yaml")), ids=lambda p: p.stem)
def test_the_example_configurations_run(path):
    data = simulate(path, n_cells=40, seed=0)
    assert data.n_obs >= 40 and len(data.uns["truth"]["edges"])


def test_matched_marginals_have_no_gates_and_the_same_chance_to_be_on():
    found = variants()
    linked = simulate(found["published housekeeping"], n_cells=10, seed=0).uns["truth"]
    matched = simulate(found["no entanglement, published housekeeping"], n_cells=10, seed=0).uns["truth"]
    assert np.allclose(linked["marginals"], matched["marginals"], atol=1e-12)
    assert len(matched["edges"]) == 0 and len(linked["edges"]) == 4
    equal = simulate(found["equal housekeeping"], n_cells=10, seed=0).uns["truth"]["conditions"]
    assert equal.loc[APART].iloc[1:].tolist() == equal.loc[TOGETHER].iloc[1:].tolist() == [80, 6]


def test_table_3_and_its_printout():
    result = run(n_cells=400, seeds=2)
    published = np.array(result["variants"]["published housekeeping"]["mean"])
    assert np.abs(published / PUBLISHED - 1)[[0, 2, 3], :].max() < 0.6
    assert len(show(result).splitlines()) == 1 + 4 * 5


def test_scores_count_directed_edges_and_pairs():
    truth = np.zeros((4, 4), dtype=bool)
    truth[0, 1] = truth[2, 3] = True
    perfect = score(truth.astype(float), truth)
    assert perfect["auprc"] == perfect["auprc_pairs"] == 1.0
    assert perfect["chance"] == pytest.approx(2 / 12) and perfect["chance_pairs"] == pytest.approx(2 / 6)
    both = score((truth | truth.T).astype(float), truth)
    assert both["auprc"] == pytest.approx(0.5) and both["auprc_pairs"] == 1.0


def test_binarise_splits_two_groups():
    rng = np.random.default_rng(0)
    on = rng.random((1000, 2)) < 0.3
    values = np.where(on, rng.normal(5, 0.5, (1000, 2)), rng.normal(0, 0.5, (1000, 2)))
    assert np.array_equal(binarise(values), on)
    assert not binarise(np.ones((10, 1))).any()


@pytest.mark.parametrize("name", METHODS)
def test_methods_find_the_edge_of_a_small_circuit(name):
    gc = GeneCircuit([0.5, 0.3, 0.4], [(0, 1, "cry", 0.5)])
    bits = gc.sample(1500, seed=0)
    expression = np.log1p(np.random.default_rng(0).poisson(9 * bits)).astype(float)
    scores = METHODS[name](expression, 0)
    assert scores.shape == (3, 3)
    both = np.maximum(scores, scores.T)
    assert both[0, 1] > max(both[0, 2], both[1, 2])


def test_cases_hold_their_truth(shared_data):
    cases = simulated_cases(1, 30)
    assert [task for task, _, _ in cases] == ["cx", "cry", "signed cry", "paper case 1, joint"]
    for _, expression, truth in cases:
        assert expression.shape == (30, len(truth)) and truth.sum() in (3, 20)
    assert len(random_circuit("cry", 0)["edges"]) == 20
    beeline = beeline_cases(shared_data / "simulated" / "beeline_SIMULATED")
    assert len(beeline) == 9 and all(t.any() and not t.diagonal().any() for _, _, t in beeline)
