from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from experiments.tasks.arrays import nearest_neighbors
from experiments.tasks.integration import BATCH, BIO, EXTRA, batch_variance, integration, pcr_within_type


@pytest.fixture(scope="module")
def cells():
    generator = np.random.default_rng(0)
    label = np.repeat(["a", "b", "c"], 80)
    batch = np.tile(["x", "y"], 120)
    centres = {"a": 0.0, "b": 4.0, "c": 8.0}
    x = generator.normal(size=(240, 6)).astype(np.float32)
    x[:, 0] += [centres[v] for v in label]
    before = x.copy()
    before[:, 1] += 3 * (batch == "y")
    return x, batch, label, before


def test_equals_the_benchmarker(cells):
    import anndata as ad
    from scib_metrics.benchmark import Benchmarker

    x, batch, label, before = cells
    data = ad.AnnData(before.copy())
    data.obs["batch"], data.obs["label"] = batch, label
    data.obsm["before"], data.obsm["x"] = before, x
    oracle = Benchmarker(data, "batch", "label", ["x"], pre_integrated_embedding_obsm_key="before", progress_bar=False)
    oracle.prepare(nearest_neighbors)
    oracle.benchmark()
    expected = oracle.get_results().loc["x"]
    scores = integration(x, batch, label, before)
    for name in (*BIO, *BATCH, "Bio conservation", "Batch correction", "Total"):
        # kBET's eigensolver starts at random: one cell of a type may cross the threshold
        assert scores[name] == pytest.approx(float(expected[name]), abs=2e-2 if name == "KBET" else 6e-3), name
    assert scores["PCR comparison"] == pytest.approx(float(expected["PCR comparison"]), abs=1e-4)
    assert set(EXTRA) <= set(scores)
    good, bad = scores, integration(np.zeros_like(x), batch, label, before)
    assert bad["KMeans ARI"] < 0.1 < good["KMeans ARI"]


@pytest.mark.parametrize("case", ["one batch", "one label", "singletons", "duplicates", "constant"])
def test_degenerate_inputs_give_numbers_in_range_or_nan(cells, case):
    x, batch, label, before = (v.copy() for v in cells)
    label = label.astype(object)
    if case == "one batch":
        batch[:] = "x"
    elif case == "one label":
        label[:] = "a"
    elif case == "singletons":
        label[0], label[1] = "lonely", "alone"
    elif case == "duplicates":
        x[:] = x[np.arange(240) // 60]
    else:
        x[:] = 1.0
    scores = integration(x, batch, label, before)
    for name, value in scores.items():
        # a corrected chance level can lie below zero
        assert np.isnan(value) or -0.6 <= value <= 1.0 + 1e-6, (name, value)
    if case == "one batch":
        assert np.isnan(scores["iLISI"]) and np.isnan(scores["PCR comparison"]) and np.isnan(scores["BRAS"])
        assert np.isnan(scores["Batch correction"]) and np.isnan(scores["Total"]) and scores["Bio conservation"] > 0
    if case == "one label":
        assert np.isnan(scores["Bio conservation"]) and np.isnan(scores["Total"])
    if case in ("singletons", "duplicates"):
        assert np.isfinite(scores["Total"])


def test_explained_variance_equals_regression_and_ignores_rotation():
    from sklearn.linear_model import LinearRegression

    generator = np.random.default_rng(1)
    x, batch = generator.normal(size=(50, 3)), generator.integers(0, 3, 50)
    x[batch == 1] += 1.0
    onehot = np.eye(3)[batch]
    left = ((x - LinearRegression().fit(onehot, x).predict(onehot)) ** 2).sum()
    expected = 1 - left / ((x - x.mean(axis=0)) ** 2).sum()
    assert batch_variance(x, batch) == pytest.approx(expected, abs=1e-9)
    assert batch_variance(x @ Rotation.random(random_state=0).as_matrix(), batch) == pytest.approx(expected, abs=1e-9)
    assert np.isnan(batch_variance(np.ones((5, 2)), np.arange(5) % 2))


def test_within_type_comparison_ignores_composition():
    """Types that separate better, unevenly spread over batches, lower PCR comparison but not the within-type one."""
    generator = np.random.default_rng(2)
    label = np.repeat([0, 1], 100)
    batch = np.concatenate([generator.integers(0, 10, 100) < 8, generator.integers(0, 10, 100) < 2]).astype(int)
    x = generator.normal(size=(200, 2))
    before = x + np.column_stack([label + 2 * batch, 0 * label])
    apart = x + np.column_stack([6 * label, 0 * label])
    scores = [pcr_within_type(before, after, batch, label) for after in (x, apart)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)
    assert scores[0] > 0.9
