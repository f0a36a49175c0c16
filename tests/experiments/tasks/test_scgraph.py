from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.tasks.scgraph import consensus, scgraph, weighted_pearson

scgraph_eval = pytest.importorskip("scgraph.scgraph")


def _data(seed: int, n: int = 480, genes: int = 60, types: int = 5):
    generator = np.random.default_rng(seed)
    label = np.array([f"t{i}" for i in generator.integers(0, types, n)])
    batch = np.array([f"b{i}" for i in generator.integers(0, 3, n)])
    rates = generator.gamma(0.5, 1, size=(types, genes))
    x = np.log1p(generator.poisson(rates[[int(v[1]) for v in label]])).astype(np.float32)
    return x, batch, label, generator.normal(size=(n, 4)).astype(np.float32) + x[:, :4]


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_scgraph_eval(tmp_path, seed):
    import anndata as ad

    x, batch, label, embedding = _data(seed)
    # a batch and a type too small to count
    batch[:20], label[20:24] = "tiny", "rare"
    data = ad.AnnData(x, obs=pd.DataFrame({"batch": batch, "label": label}, index=[str(i) for i in range(len(x))]))
    data.obsm["z"] = embedding
    data.write_h5ad(tmp_path / "data.h5ad")
    oracle = scgraph_eval.scGraph(str(tmp_path / "data.h5ad"), "batch", "label", only_umap=False)
    expected = oracle.main(["z"]).loc["z"]
    reference = consensus(x, batch, label)
    scores = scgraph(embedding, label, reference)
    assert scores["Rank"] == pytest.approx(expected["Rank-PCA"], abs=1e-5)
    assert scores["Correlation"] == pytest.approx(expected["Corr-PCA"], abs=1e-5)
    assert scores["Weighted"] == pytest.approx(expected["Corr-Weighted"], abs=1e-5)


def test_degenerate_inputs_are_nan_not_errors():
    x, batch, label, embedding = _data(2)
    reference = consensus(x, batch, label)
    assert np.isnan(list(scgraph(np.ones_like(embedding), label, reference).values())).all()
    assert np.isnan(list(scgraph(embedding, np.repeat("t0", len(x)), reference).values())).all()
    assert consensus(x, np.arange(len(x)).astype(str), label).empty
    assert np.isnan(list(scgraph(embedding, label, pd.DataFrame()).values())).all()
    assert consensus(x, np.repeat("one", len(x)), label).shape == (5, 5)


def test_weighted_pearson_with_equal_weights_is_pearson():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(2, 30))
    assert weighted_pearson(x, y, np.full(30, 0.2)) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert np.isnan(weighted_pearson(x, np.ones(30), np.ones(30)))
    assert np.isnan(weighted_pearson(x, y, np.zeros(30)))
