from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from experiments.data.datasets import NAMED, load, log_normalised, pbmc68k, read_h5ad, select_hvgs, unintegrated_pca
from experiments.data.synthetic import synthetic
from samplers.errors import InputError


def test_recovered_counts_reproduce_the_bundled_values():
    import scanpy as sc

    cells, bundled = pbmc68k(), sc.datasets.pbmc68k_reduced()
    counts = cells.X.toarray()
    assert np.array_equal(counts, np.rint(counts)) and counts.min() == 0 and counts.max() > 200
    again = np.log1p(counts * 1e4 / bundled.obs["n_counts"].to_numpy()[:, None])
    # the file holds three decimals
    assert np.abs(again - bundled.raw.X.toarray()).max() < 0.00052
    assert list(cells.obs_names) == list(bundled.obs_names) and cells.obs["cell_type"].nunique() == 10


def test_synthetic_counts_are_known_and_repeat():
    a, b = synthetic(200, 60, seed=3), synthetic(200, 60, seed=3)
    assert (a.X != b.X).nnz == 0 and a.obs.equals(b.obs)
    assert (synthetic(200, 60, seed=4).X != a.X).nnz > 0
    on = a.obs["lineage"] != ""
    assert a.obs["time"][on].between(0, 1).all() and a.obs["time"][~on].isna().all()
    assert a.obs["time"].iloc[a.uns["iroot"]] == a.obs["time"].min()
    assert sp.issparse(a.X) and a.X.sum(axis=1).min() > 0
    assert synthetic(50, 30, n_types=0, n_batches=1).obs["lineage"].isin(["A", "B"]).all()
    with pytest.raises(InputError, match="10 cells"):
        synthetic(5)


def test_batch_effect_is_in_the_counts():
    from experiments.tasks.integration import batch_variance

    shares = [
        batch_variance(
            unintegrated_pca(synthetic(300, 80, batch_effect=e, seed=0)), synthetic(300, 80, seed=0).obs["batch"]
        )
        for e in (0.0, 1.0)
    ]
    assert shares[0] < 0.1 < shares[1]


def test_variable_genes_are_found_and_counts_kept():
    cells = synthetic(200, 60, seed=0)
    rng = np.random.default_rng(0)
    flat = ad.AnnData(sp.csr_matrix(rng.poisson(3.0, size=(200, 100)).astype(np.float32)))
    flat.obs_names, flat.var_names = cells.obs_names, [f"flat{i}" for i in range(100)]
    both = ad.concat([cells, flat], axis=1, merge="same")
    both.obs = cells.obs
    chosen = select_hvgs(both, 30, "batch")
    assert chosen.n_vars == 30 and sum(n.startswith("flat") for n in chosen.var_names) < 10
    np.testing.assert_array_equal(chosen.X.toarray(), both[:, chosen.var_names].X.toarray())
    assert select_hvgs(cells, 1000).shape == cells.shape


def test_log_normalised_leaves_the_counts_alone():
    cells = synthetic(50, 30, seed=0)
    before = cells.X.copy()
    log = log_normalised(cells)
    np.testing.assert_allclose(np.expm1(log.X.toarray()).sum(axis=1), 1e4, rtol=1e-4)
    assert (cells.X != before).nnz == 0


def test_files_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "broken.h5ad").write_bytes(b"not hdf5")
    synthetic(20, 20).write_h5ad(tmp_path / "cells.h5ad")
    assert load("cells.h5ad", tmp_path).shape == (20, 20)
    for name, message in (
        ("broken.h5ad", "damaged"),
        ("cels.h5ad", "nearest: 'cells.h5ad'"),
        ("synthetik", "nearest: 'synthetic'"),
    ):
        with pytest.raises(InputError, match=message):
            load(name, tmp_path)
    with pytest.raises(InputError, match="folder"):
        read_h5ad(tmp_path)
    truncated = (tmp_path / "cells.h5ad").read_bytes()[:2000]
    (tmp_path / "cut.h5ad").write_bytes(truncated)
    with pytest.raises(InputError, match="damaged"):
        read_h5ad(tmp_path / "cut.h5ad")


def test_every_name_says_what_it_is():
    assert all(entry.note for entry in NAMED.values())
    assert load("synthetic").n_obs == 1500
