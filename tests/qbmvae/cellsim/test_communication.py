from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy.stats import trim_mean

from qbmvae.cellsim import communication, compare_conditions, paper_pairs, simulate
from qbmvae.cellsim.communication import truncated_mean
from samplers.errors import InputError

PUBLISHED = np.array([[0.0148, 0.1135], [0.0011, 0.0830], [0.1133, 0.1008], [0.0726, 0.0638]])


@pytest.fixture(scope="module")
def notebook():
    return simulate("paper-notebook", n_cells=2000, seed=0)


def by_hand(adata, ligand, receptor, sender, receiver):
    counts = adata.X.toarray()
    expression = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    expression /= expression.max()
    types, genes = adata.obs["cell_type"].to_numpy(), list(adata.var_names)
    left = trim_mean(expression[types == sender, genes.index(ligand)], 0.01)
    right = trim_mean(expression[types == receiver, genes.index(receptor)], 0.01)
    return left * right / (0.5 + left * right)


def test_the_papers_table_3_is_reproduced(notebook):
    result = communication(notebook, paper_pairs())
    apart = result[result["condition"] == "non-interacting"]["probability"].to_numpy()
    together = result[result["condition"] == "interacting"]["probability"].to_numpy()
    found = np.stack([apart, together], axis=1)
    close = (np.abs(found / PUBLISHED - 1) < 0.15) | (np.abs(found - PUBLISHED) < 0.0003)
    assert close.all(), found
    assert (result["p-value"] < 0.05).all()
    sides = [notebook[notebook.obs["condition"] == name] for name in ("non-interacting", "interacting")]
    folds = compare_conditions(*sides, pairs=paper_pairs(), n_bootstrap=50)
    assert 6.5 < folds["fold"][0] < 9.5 and 60 < folds["fold"][1] < 90
    assert all(low < fold < high for fold, (low, high) in zip(folds["fold"], folds["interval"], strict=True))


def test_probabilities_are_cellchats(notebook):
    part = notebook[notebook.obs["condition"] == "interacting"].copy()
    result = communication(part, paper_pairs(), n_permutations=10)
    assert list(result.columns) == ["ligand", "receptor", "sender", "receiver", "probability", "p-value"]
    expected = [by_hand(part, *pair) for pair in paper_pairs()]
    assert np.allclose(result["probability"], expected, rtol=1e-6)
    dense = ad.AnnData(X=part.X.toarray(), obs=part.obs, var=part.var)
    assert np.allclose(communication(dense, paper_pairs(), n_permutations=0)["probability"], expected, rtol=1e-6)


@pytest.mark.parametrize(("n", "trim"), [(2000, 0.01), (150, 0.01), (99, 0.01), (10, 0.25), (7, 0.1)])
def test_truncated_mean_is_that_of_scipy_and_r(n, trim):
    values = np.random.default_rng(n).gamma(1.0, size=(n, 3))
    assert np.allclose(truncated_mean(values, trim), trim_mean(values, trim, axis=0))


def test_p_values_are_uniform_without_structure():
    rng = np.random.default_rng(1)
    small = []
    for k in range(150):
        obs = pd.DataFrame({"cell_type": rng.permutation(["A", "B"] * 20)}, index=[f"c{i}" for i in range(40)])
        data = ad.AnnData(X=rng.poisson(3, size=(40, 5)).astype(float), obs=obs)
        data.var_names = list("lrxyz")
        small.append(communication(data, [("l", "r", "A", "B")], n_permutations=39, seed=k)["p-value"][0] <= 0.2)
    # binomial(150, .2): mean 30, sd 4.9
    assert 13 <= sum(small) <= 48


def test_complexes_are_geometric_means(notebook):
    part = notebook[notebook.obs["condition"] == "interacting"].copy()
    one = communication(part, [("g3", "g5", "CT1", "CT2")], n_permutations=0)["probability"][0]
    twice = communication(part, [("g3", ["g5", "g5"], "CT1", "CT2")], n_permutations=0)
    assert twice["probability"][0] == pytest.approx(one) and twice["receptor"][0] == "g5+g5"
    absent = communication(part, [("g3", ["g5", "g0"], "CT1", "CT2")], n_permutations=9)
    assert absent["probability"][0] == 0 and absent["p-value"][0] == 1
    fold = compare_conditions(
        part, part, [("g3", ["g5", "g0"], "CT1", "CT2"), ("g3", "g5", "CT1", "CT2")], n_bootstrap=5
    )
    assert np.isnan(fold["fold"][0]) and fold["fold"][1] == 1


def test_wrong_input_is_named(notebook):
    good = ("g3", "g5", "CT1", "CT2")
    for pairs, says in [
        ([("g3", "g55", "CT1", "CT2")], "gene 'g55' is not in the data; nearest: 'g5'"),
        ([("g3", "g5", "CT1", "CT3")], "no cell is of type 'CT3'; nearest"),
        ([("g3", "g5", "CT1")], "a pair is (ligand, receptor, sender, receiver)"),
        ([], "pairs is empty"),
    ]:
        with pytest.raises(InputError) as error:
            communication(notebook, pairs)
        assert says in str(error.value)
    with pytest.raises(InputError, match="no column 'celltype'; nearest: 'cell_type'"):
        communication(notebook, [good], cell_type_key="celltype")
    with pytest.raises(InputError, match="no cell has condition 'interactin'; nearest"):
        communication(notebook, [good], condition="interactin")
    logged = notebook.copy()
    logged.X = np.log1p(logged.X)
    with pytest.raises(InputError, match=r"X holds .* \(cell 'non-interacting_CT1_0', gene .*counts must be whole"):
        communication(logged, [good])
