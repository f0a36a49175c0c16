from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

from qbmvae import QBMVAE
from qbmvae.data import disk_source, open_atlas
from qbmvae.data.disk_source import BlockSource
from qbmvae.data.gene_selection import highly_variable_genes
from qbmvae.data.scan import survey
from qbmvae.data.stores import DatasetRows
from samplers import InputError

QUICK = {"max_epochs": 2, "progress_bar": False, "num_chains": 64}


@pytest.fixture
def files(adata, tmp_path):
    """Two files whose genes overlap in another order, with unsorted columns in one."""
    one, two = adata[:130].copy(), adata[130:, ::-1].copy()
    extra = ad.AnnData(sp.csr_matrix(np.ones((two.n_obs, 1), dtype=np.float32)), obs=two.obs)
    extra.var_names = ["unshared"]
    two = ad.concat([two, extra], axis=1, merge="same")
    two.X = sp.csr_matrix(two.X)
    one.write_h5ad(tmp_path / "one.h5ad")
    two.write_h5ad(tmp_path / "two.h5ad")
    return [tmp_path / "one.h5ad", tmp_path / "two.h5ad"]


def test_files_are_joined_by_gene_name_and_category(adata, files):
    atlas = open_atlas(files)
    assert list(atlas.var_names) == list(adata.var_names)
    assert list(atlas.obs_names) == list(adata.obs_names)
    whole = atlas.store.read(0, adata.n_obs).dense().numpy()
    np.testing.assert_array_equal(whole, adata.X.toarray())
    np.testing.assert_array_equal(atlas.store.read(120, 140).dense().numpy(), adata.X[120:140].toarray())
    assert list(atlas.obs["batch"].cat.categories) == ["ctrl", "stim"]
    chosen = open_atlas(files, genes=["gene9", "gene2"])
    np.testing.assert_array_equal(
        chosen.store.read(0, adata.n_obs).dense().numpy(), adata[:, ["gene9", "gene2"]].X.toarray()
    )


def test_an_atlas_embeds_as_memory_does(adata, files, tmp_path):
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(adata, n_latent=8, n_hidden=16)
    model.train(**QUICK)
    z = model.get_latent_representation()
    atlas = open_atlas(files)
    np.testing.assert_allclose(model.get_latent_representation(atlas), z, atol=1e-6)
    for name in ("z.h5ad", "z.parquet", "z.npz"):
        model.write_latent_representation(tmp_path / name, atlas, batch_size=64)
    np.testing.assert_allclose(ad.read_h5ad(tmp_path / "z.h5ad")[adata.obs_names].obsm["X_qbmvae"], z, atol=1e-4)
    table = pd.read_parquet(tmp_path / "z.parquet")
    assert list(table.index) == list(adata.obs_names)
    np.testing.assert_allclose(table.to_numpy(), z, atol=1e-4)
    archive = np.load(tmp_path / "z.npz")
    assert list(archive["obs_names"]) == list(adata.obs_names)
    np.testing.assert_allclose(archive["X_qbmvae"], z, atol=1e-4)
    np.testing.assert_array_equal(archive["codes"], model.get_codes())
    whole = model.write_latent_representation(tmp_path / "q.npz", atlas, representation="probabilities", batch_size=64)
    np.testing.assert_allclose(
        np.load(tmp_path / "q.npz")["X_qbmvae"],
        model.get_latent_representation(representation="probabilities"),
        atol=1e-6,
    )
    assert whole == (adata.n_obs, 8)
    with pytest.raises(InputError, match=r"must end in \.h5ad"):
        model.write_latent_representation(tmp_path / "z.csv")
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_an_atlas_and_a_backed_file_train(adata, files, tmp_path):
    atlas = open_atlas(files)
    QBMVAE.setup_anndata(atlas, batch_key="batch")
    model = QBMVAE(atlas, n_latent=8, n_hidden=16)
    model.train(**QUICK)
    assert np.isfinite(model.get_elbo())
    assert model.generate(5, seed=0).n_obs == 5
    adata.write_h5ad(tmp_path / "whole.h5ad")
    backed = ad.read_h5ad(tmp_path / "whole.h5ad", backed="r")
    QBMVAE.setup_anndata(backed, batch_key="batch")
    other = QBMVAE(backed, n_latent=8, n_hidden=16)
    other.train(**QUICK)
    # the same rows in the same order: who opened the file makes no difference
    atlas = open_atlas(tmp_path / "whole.h5ad")
    QBMVAE.setup_anndata(atlas, batch_key="batch")
    model = QBMVAE(atlas, n_latent=8, n_hidden=16)
    model.train(**QUICK)
    np.testing.assert_allclose(other.get_latent_representation(), model.get_latent_representation(), atol=1e-6)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_blocks_cover_every_row_once_in_a_seeded_order(world):
    rng = np.random.default_rng(0)
    x = sp.csr_matrix(rng.poisson(1.0, size=(1003, 12)).astype(np.float32))
    rows = rng.permutation(1003)[:900]
    source = BlockSource(DatasetRows(x), [np.arange(1003) % 3], block_size=50, group_size=150)
    seen, steps = [], set()
    for rank in range(world):
        mine = source.subset(rows, shard=(rank, world))
        batches = list(mine.epoch(64, 7))
        steps.add(len(batches))
        assert len(batches) == mine.steps(64)
        for batch in batches:
            np.testing.assert_array_equal(batch.x.dense().numpy(), x[batch.rows].toarray())
            np.testing.assert_array_equal(batch.covariates.categories[0].numpy(), batch.rows % 3)
            np.testing.assert_allclose(batch.library.numpy(), np.asarray(x[batch.rows].sum(1)).ravel(), rtol=1e-6)
            seen.append(batch.rows)
        again = [b.rows for b in mine.epoch(64, 7, start=3)]
        for a, b in zip(again, batches[3:], strict=True):
            np.testing.assert_array_equal(a, b.rows)
    # every rank takes the same number of steps, or it would wait for ever
    assert len(steps) == 1
    assert sorted(np.concatenate(seen)) == sorted(rows)
    other = np.concatenate([b.rows for b in source.epoch(64, 8)])
    assert not np.array_equal(other[:64], np.concatenate([b.rows for b in source.epoch(64, 7)])[:64])
    in_order = np.concatenate([b.rows for b in source.subset(np.sort(rows)).epoch(64, None)])
    np.testing.assert_array_equal(in_order, np.sort(rows))


@pytest.mark.parametrize("batch_size", [7, 50, 400])
def test_rows_in_order_stay_in_the_pieces_that_were_read(batch_size, monkeypatch):
    x = sp.random(1003, 20, 0.2, format="csr", random_state=0, dtype=np.float32)
    monkeypatch.setattr(disk_source, "TOGETHER", 100)
    source = BlockSource(DatasetRows(x), [np.arange(1003) % 3], block_size=50)
    batches = list(source.epoch(batch_size, None))
    np.testing.assert_array_equal(np.concatenate([b.rows for b in batches]), np.arange(1003))
    assert all(b.rows[0] // 100 == b.rows[-1] // 100 for b in batches)
    for batch in batches:
        np.testing.assert_array_equal(batch.x.dense().numpy(), x[batch.rows].toarray())


@pytest.mark.parametrize("batch", [None, "batch"])
@pytest.mark.parametrize("n_top", [5, 20, 60])
def test_one_pass_selects_scanpys_genes(adata, batch, n_top):
    adata.X.data[::7] += 40
    codes = None if batch is None else adata.obs["batch"].cat.codes.to_numpy().astype(np.int64)
    found = survey(DatasetRows(adata.X), adata.obs_names, adata.var_names, codes, histograms=True, block_size=37)
    ours = highly_variable_genes(found.histograms, adata.var_names, n_top)
    if n_top < adata.n_vars:
        sc.pp.highly_variable_genes(adata, n_top_genes=n_top, flavor="seurat_v3", batch_key=batch)
        assert list(ours) == list(adata.var_names[adata.var["highly_variable"]])
    else:
        assert list(ours) == list(adata.var_names)
    np.testing.assert_allclose(found.library, np.asarray(adata.X.sum(1)).ravel())


def test_selection_out_of_core_is_the_commands_in_memory(adata, files):
    from experiments.data.datasets import select_hvgs
    from qbmvae.data.opening import select_genes

    atlas = open_atlas(files)
    # a batch of few cells does not vote, on disk or in memory
    atlas.obs["batch"] = adata.obs["batch"] = pd.Categorical(["few"] * 12 + list(adata.obs["batch"].astype(str))[12:])
    chosen = select_genes(atlas, 20, "batch")
    assert list(chosen.var_names) == list(select_hvgs(adata, 20, "batch").var_names)
    assert chosen.store.shape == (240, 20) and list(chosen.obs_names) == list(adata.obs_names)


def test_faults_on_disk_are_named(adata, tmp_path, files):
    x = adata.X.toarray()
    x[77, 5] = 1.5
    adata.X = sp.csr_matrix(x)
    adata.write_h5ad(tmp_path / "bad.h5ad")
    atlas = open_atlas(tmp_path / "bad.h5ad")
    QBMVAE.setup_anndata(atlas, batch_key="batch")
    with pytest.raises(InputError, match=r"non-integer.*row 77.*gene5"):
        QBMVAE(atlas, n_latent=8)
    with pytest.raises(InputError, match="no file"):
        open_atlas(tmp_path / "nowhere.h5ad")
    (tmp_path / "junk.h5ad").write_bytes(b"junk")
    with pytest.raises(InputError, match="damaged"):
        open_atlas(tmp_path / "junk.h5ad")
    with pytest.raises(InputError, match="is named twice"):
        open_atlas([files[0], files[0]])
    with pytest.raises(InputError, match="lacks 1 of the genes"):
        open_atlas(files, genes=["gene1", "nogene"])
    adata.X = sp.csc_matrix(x)
    adata.write_h5ad(tmp_path / "csc.h5ad")
    with pytest.raises(InputError, match="convert it to CSR"):
        open_atlas(tmp_path / "csc.h5ad")


def test_few_cells_of_many_blocks_take_the_memory_of_few():
    x = sp.random(500, 30, 0.3, format="csr", random_state=0, dtype=np.float32)
    held = []

    class Watched(BlockSource):
        def _load(self, rows, pile=None):
            answer = super()._load(rows, pile)
            held.append(len(answer[-1]))
            return answer

    source = Watched(DatasetRows(x), [np.zeros(500, dtype=np.int64)], rows=np.arange(3, 500, 17), block_size=16)
    batches = list(source.epoch(10, None))
    np.testing.assert_array_equal(np.concatenate([b.rows for b in batches]), np.arange(3, 500, 17))
    for batch in batches:
        np.testing.assert_array_equal(batch.x.dense().numpy(), x[batch.rows].toarray())
    # once all 500 cells of the blocks were held for these 30
    assert sum(held) == 30


def test_minibatches_stay_as_they_were_when_the_next_ones_are_read():
    # shuffled groups lie in memory that is used again
    x = sp.random(300, 40, 0.2, format="csr", random_state=0, dtype=np.float32)
    source = BlockSource(DatasetRows(x), [np.zeros(300, dtype=np.int64)], block_size=16, group_size=32)
    for seed, size in ((0, 7), (1, 1), (None, 7), (None, 50)):
        for batch in list(source.epoch(size, seed)) + list(source.epoch(size, seed, 1)):
            np.testing.assert_array_equal(batch.x.dense().numpy(), x[batch.rows].toarray())


def test_some_rows_of_a_written_embedding(tmp_path):
    from qbmvae.data.embedding_writer import read_rows, writer

    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    with writer(tmp_path / "z.parquet", pd.DataFrame(index=[f"c{i}" for i in range(50)]), 3) as put:
        for part in np.array_split(x, 7):
            put(part)
    for rows in (np.arange(50), np.array([0, 1, 17, 49]), np.array([8])):
        np.testing.assert_array_equal(read_rows(tmp_path / "z.parquet", rows), x[rows])
