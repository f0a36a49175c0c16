from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from qbmvae.cellsim import GeneCircuit, simulate
from qbmvae.cellsim.learning import _outcomes, learn_circuit
from qbmvae.cellsim.networks import coexpression_network, correlations
from qbmvae.cellsim.plots import draw_networks, draw_umap, outcome_histogram
from qbmvae.cellsim.separation import embed, separation
from samplers.errors import InputError


@pytest.fixture(scope="module")
def notebook():
    return simulate("paper-notebook", seed=0)


def genes_of(adata, method, condition, cells="all"):
    return set(coexpression_network(correlations(adata, method, condition=condition, cells=cells)).nodes)


def test_the_published_networks(notebook):
    assert genes_of(notebook, "pearson", "interacting") == {"g3", "g4", "g5", "g7"}
    assert genes_of(notebook, "spearman", "interacting") == {"g0", "g3", "g4", "g5", "g7", "g8"}
    for method in ("pearson", "spearman"):
        graph = coexpression_network(correlations(notebook, method, condition="non-interacting"))
        assert graph.has_edge("g1", "g2") and graph.has_edge("g3", "g4")


def test_within_a_type_only_the_programmed_edge_is_left(notebook):
    # g3-g4 is a difference between cell types, not co-expression (Simpson's paradox)
    merged = correlations(notebook, condition="non-interacting")
    within = correlations(notebook, condition="non-interacting", cells="CT1")
    assert merged.loc["g3", "g4"] > 0.5 and abs(within.loc["g3", "g4"]) < 0.06
    assert genes_of(notebook, "pearson", "non-interacting", "CT1") == {"g1", "g2"}
    assert not genes_of(notebook, "pearson", "interacting", "CT1")


def test_joint_outcomes_show_gates_across_types(notebook):
    joint = correlations(notebook, condition="interacting", cells="joint")
    assert joint.loc["g7", "g0"] > 0.15 and joint.loc["g5", "g7"] > 0.1
    assert abs(joint.loc["g8", "g4"]) < 0.08
    with pytest.raises(InputError, match="several conditions: name one of"):
        correlations(notebook)
    with pytest.raises(InputError, match="no cell is of type 'CT3'"):
        correlations(notebook, condition="interacting", cells="CT3")
    with pytest.raises(InputError, match="unknown method 'kendall'"):
        correlations(notebook, "kendall", condition="interacting")


def test_cell_types_separate_and_figures_draw(notebook):
    small = notebook[notebook.obs["condition"] == "interacting"][::8].copy()
    embed(small, umap=False)
    found = separation(small)
    assert found["silhouette"] > 0.05 and found["knn_purity"] > 0.9
    small.obs["coin"] = np.random.default_rng(0).permutation(np.arange(small.n_obs) % 2)
    assert separation(small, label_key="coin")["knn_purity"] == pytest.approx(0.5, abs=0.06)
    with pytest.raises(InputError, match="run embed first"):
        separation(small, basis="X_umap")
    small.obsm["X_umap"] = small.obsm["X_pca"][:, :2]
    gc = GeneCircuit([0.3, 0.6], [(0, 1)])
    figures = [
        draw_umap(small),
        outcome_histogram(gc.sample(100, seed=0), gc.probabilities(), gc.genes),
        draw_networks(
            {"a": coexpression_network(correlations(small)), "none": coexpression_network(correlations(small), 2)}
        ),
    ]
    assert all(f.axes for f in figures)


def test_the_learned_circuits_outcomes_are_exact_and_so_are_their_gradients():
    rng = np.random.default_rng(0)
    theta = torch.tensor(rng.uniform(0.3, 2.8, 4), requires_grad=True)
    phi = torch.tensor(rng.normal(size=(4, 4)), requires_grad=True)
    edges = [
        (k, j, "cry", abs(float(phi.detach()[k, j])) / np.pi, 1 if phi[k, j] > 0 else -1)
        for k in range(4)
        for j in range(4)
        if j != k
    ]
    circuit = GeneCircuit(theta.detach().numpy() / np.pi, edges)
    assert np.abs(_outcomes(theta, phi).detach().numpy() - circuit.probabilities("statevector")).max() < 1e-12
    assert torch.autograd.gradcheck(_outcomes, (theta, phi))


def test_learning_reproduces_outcomes_and_finds_the_edge():
    circuit = GeneCircuit([0.5, 0.3, 0.4], [(0, 1, "cry", 0.5)], ["A", "B", "C"])
    bits = pd.DataFrame(circuit.sample(4000, seed=0), columns=["A", "B", "C"])
    learned = learn_circuit(bits, n_steps=150)
    assert learned.loss[-1] < 0.01 < learned.loss[0]
    assert set(learned.edges().loc[0, ["control", "target"]]) == {"A", "B"}
    p, q = circuit.probabilities(), learned.circuit().probabilities()
    assert np.abs(p - q).max() < 0.03
    for wrong, says in [
        (bits.to_numpy() * 2, "bits are 0 or 1"),
        (np.zeros((5, 20), int), "between 2 and 14"),
        (np.zeros(5, int), "give \\(n_cells, n_genes\\)"),
    ]:
        with pytest.raises(InputError, match=says):
            learn_circuit(wrong, genes=None if wrong.ndim > 1 else ["A"])
