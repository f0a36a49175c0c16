from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from qbmvae.cellsim import GeneCircuit, simulate
from qbmvae.cellsim.counts import add_ambient, drop, dropout_probability, lognormal_factors, negative_binomial
from samplers.errors import InputError

N = 20_000


def within(observed, expected, standard_error, sigmas=5.0):
    return np.abs(observed - expected) <= sigmas * standard_error + 1e-9


def moments(p, mu, r):
    """Mean, variance, fourth central moment bound and zero fraction of an on/off negative binomial."""
    mean = p * mu
    variance = p * (mu + mu**2 / r + mu**2) - mean**2
    zeros = 1 - p + p * (r / (r + mu)) ** r
    return mean, variance, zeros


@settings(deadline=None, max_examples=25)
@given(st.floats(0.5, 20), st.floats(0.5, 20), st.floats(0.1, 1.0), st.integers(0, 2**31))
def test_counts_meet_mean_dispersion_and_zero_fraction(mu, r, activation, seed):
    config = {"cell_types": {"A": {"x": activation}, "B": {"y": 1.0}}, "counts": {"mean": mu, "size": r}}
    data = simulate(config, n_cells=N, seed=seed)
    of_a = (data.obs["cell_type"] == "A").to_numpy()
    for gene, p, cells in (("x", np.sin(np.pi * activation / 2) ** 2, of_a), ("y", 1.0, ~of_a)):
        values = data[cells, gene].X.toarray().ravel()
        mean, variance, zeros = moments(p, mu, r)
        assert within(values.mean(), mean, np.sqrt(variance / N))
        fourth = ((values - values.mean()) ** 4).mean()
        assert within(values.var(), variance, np.sqrt(fourth / N), 6)
        # exact: where zeros are rare their share is far from normal
        assert binomtest(int((values == 0).sum()), len(values), zeros).pvalue > 1e-7
        # a gene of one cell type is structurally zero in the other
        assert data[~cells, gene].X.nnz == 0


def test_the_dispersion_of_genes_that_are_on_is_the_one_asked_for():
    mu, r = 8.0, 2.5
    x = negative_binomial(np.full(400_000, mu), np.array(r), np.random.default_rng(0))
    assert within(x.mean(), mu, np.sqrt((mu + mu**2 / r) / len(x)))
    assert (x.var() - x.mean()) / x.mean() ** 2 == pytest.approx(1 / r, rel=0.02)
    assert (x == 0).mean() == pytest.approx((r / (r + mu)) ** r, rel=0.03)
    poisson = negative_binomial(np.full(100_000, mu), np.array(1e9), np.random.default_rng(0))
    assert poisson.var() == pytest.approx(mu, rel=0.02)


def test_the_papers_counts_meet_their_marginals():
    data = simulate("paper-case-1", n_cells=5000, seed=1)
    truth = data.uns["truth"]
    for qubit, p in truth["marginals"]["interacting"].items():
        of_type = (data.obs["cell_type"] == truth["qubits"].loc[qubit, "cell_type"]).to_numpy()
        values = data[of_type, qubit].X.toarray().ravel()
        mean, variance, zeros = moments(p, 5.0, 1.0)
        assert within(values.mean(), mean, np.sqrt(variance / 5000))
        assert binomtest(int((values == 0).sum()), len(values), zeros).pvalue > 1e-7
    housekeeping = data[:, data.var["kind"] == "housekeeping"].X.toarray()
    assert housekeeping.shape == (10_000, 50)
    assert within(housekeeping.mean(axis=0), 80, np.sqrt((80 + 80**2 / 6) / 10_000)).all()
    assert (housekeeping.var() - 80) / 80**2 == pytest.approx(1 / 6, rel=0.03)


def test_joint_bits_are_the_circuits_and_match_the_counts():
    data = simulate("paper-notebook", n_cells=3000, seed=2)
    bits = data.uns["truth"]["joint_bits"]["interacting"]
    qubits = list(data.uns["truth"]["qubits"].index)
    gc = GeneCircuit([0.2, 0.1, 0.4, 0.9, 0.8, 0.2, 0.3, 0.2, 0.7, 0.5], [(3, 5), (5, 7), (7, 0)])
    exact = gc.probabilities().reshape((2,) * 10)
    both = exact.sum(axis=tuple(i for i in range(10) if i not in (0, 7)))[1, 1]
    found = (bits[:, qubits.index("g0")] & bits[:, qubits.index("g7")]).mean()
    assert within(found, both, np.sqrt(both * (1 - both) / 3000))
    cells = data[(data.obs["cell_type"] == "CT2") & (data.obs["condition"] == "interacting")]
    expressed = cells[:, "g7"].X.toarray().ravel() > 0
    assert not expressed[bits[cells.obs["shot"], qubits.index("g7")] == 0].any()


def test_library_batches_and_ambient_meet_their_expectations():
    base = {"cell_types": {"A": {f"g{i}": 0.8 for i in range(5)}, "B": {"h": 0.8}}, "counts": {"mean": 10, "size": 5}}
    config = base | {"library": {"sigma": 0.4}, "batches": {"n": 3, "sigma": 0.5}, "housekeeping": {"n": 20}}
    data = simulate(config, n_cells=6000, seed=0)
    library = data.obs["library"].to_numpy()
    assert library.mean() == pytest.approx(1.0, abs=0.03)
    assert np.log(library).std() == pytest.approx(0.4, abs=0.02)
    factors = data.uns["truth"]["batch_factors"]
    for b in range(3):
        cells = ((data.obs["cell_type"] == "A") & (data.obs["batch"] == f"batch{b}")).to_numpy()
        found = np.asarray(data[cells].X.mean(axis=0)).ravel()[:5] / (10 * np.sin(0.4 * np.pi) ** 2)
        assert np.allclose(found, factors[b, :5] * library[cells].mean(), rtol=0.1)
    soup = simulate(base | {"ambient": {"fraction": 0.1}}, n_cells=6000, seed=0)
    other = soup[soup.obs["cell_type"] == "B", "g0"].X.toarray().mean()
    assert other == pytest.approx(0.1 * 10 * np.sin(0.4 * np.pi) ** 2 / 2, rel=0.1)


def test_dropout_doublets_and_their_truth():
    rng = np.random.default_rng(0)
    counts = sp.csr_matrix(np.full((4000, 2), 3))
    kept = drop(counts, np.array([0.25, 0.0]), rng)
    assert kept[:, 0].nnz / 4000 == pytest.approx(0.75, abs=0.04) and kept[:, 1].nnz == 4000
    chance = dropout_probability(np.array([0.1, 1.0, 10.0]), {"midpoint": 0.0, "slope": 1.0})
    assert chance[1] == pytest.approx(0.5) and chance[0] > chance[1] > chance[2]
    assert lognormal_factors((100_000,), 0.5, rng).mean() == pytest.approx(1.0, abs=0.01)
    soup = add_ambient(sp.csr_matrix((1000, 3), dtype=np.int32), np.full(1000, 8.0), np.array([0.5, 0.5, 0.0]), rng)
    assert soup.sum() / 1000 == pytest.approx(8, rel=0.05) and soup[:, 2].nnz == 0
    config = {
        "cell_types": {"A": {"x": 1.0}, "B": {"y": 1.0}},
        "doublets": {"rate": 0.3},
        "counts": {"mean": 20, "size": 9},
    }
    data = simulate(config, n_cells=4000, seed=0)
    assert data.obs["doublet"].mean() == pytest.approx(0.3, abs=0.03)
    mixed = data[(data.obs["cell_type"] == "A") & (data.obs["doublet_with"] == "B")]
    assert (mixed[:, "y"].X.toarray() > 0).mean() > 0.95
    single = data[(data.obs["cell_type"] == "A") & ~data.obs["doublet"]]
    assert single[:, "y"].X.nnz == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"counts": {"mean": 5, "size": {"x": 1, "y": -2}}}, "counts.size of gene y is -2"),
        ({"counts": {"mean": -5}}, "counts.mean is -5"),
        ({"counts": {"mean": {"x": 5}}}, "counts.mean has no value for gene 'y'"),
        ({"counts": {"means": 5}}, "counts has an unknown key 'means'; nearest: 'mean'"),
        ({"housekeeping": {"n": 2, "size": 0}}, "housekeeping.size is 0"),
        ({"edges": [["x", "q"]]}, "'q' is not a gene of the circuit"),
        ({"edges": [["x", "x"]]}, "gene 'x' is both control and target"),
        ({"cell_types": {"A": {"x": 1.5}}}, "activation of gene x is 1.5"),
        ({"cell_types": {}}, "names no cell types"),
        ({"dropout": {"rate": 1.5}}, "dropout.rate is 1.5"),
        ({"dropout": {"rate": 0.5, "slope": 1}}, "not both"),
        ({"ambient": {"fraction": -0.1}}, "ambient.fraction is -0.1"),
        ({"n_cells": 0}, "n_cells is 0"),
        ({"celltypes": {}}, "unknown key 'celltypes'; nearest: 'cell_types'"),
        ({"conditions": {"c": {"edge": []}}}, "conditions.c has an unknown key 'edge'"),
        ({"pairs": [["x", "y", "A"]]}, "a pair is [ligand, receptor, sender, receiver]"),
        ({"pairs": [["x", "z", "A", "B"]]}, "gene 'z' is not simulated"),
        ({"edges": [{"control": "x", "target": "y", "during": [0, 1]}]}, "there is no trajectory"),
        ({"reference": {"path": "a.h5ad"}}, "not both"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_configurations_are_named(change, says):
    config = {"cell_types": {"A": {"x": 0.5}, "B": {"y": 0.5}}, "n_cells": 5} | change
    with pytest.raises(InputError) as error:
        simulate(config)
    assert says in str(error.value)
