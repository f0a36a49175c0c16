"""Cells from every kind of source, in memory and out of core, are the same cells."""

from __future__ import annotations

import functools
import http.server
import threading

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from qbmvae import QBMVAE
from qbmvae.data import open_atlas, open_cells, opening
from qbmvae.data.sources import expand
from samplers import InputError

QUICK = {"max_epochs": 2, "progress_bar": False, "num_chains": 64}


@pytest.fixture
def folder(adata, tmp_path):
    """The cells in one file of each format, and in shards, a folder, a list."""
    adata.raw = adata
    adata.write_h5ad(tmp_path / "all.h5ad")
    adata.write_zarr(tmp_path / "all.zarr")
    (tmp_path / "shards").mkdir()
    for i in range(3):
        part = adata[80 * i : 80 * (i + 1), :: -1 if i == 1 else 1].copy()
        if i == 2:
            part.write_zarr(tmp_path / "shards" / "c.zarr")
        else:
            part.write_h5ad(tmp_path / "shards" / f"{'ab'[i]}.h5ad")
    (tmp_path / "list.txt").write_text("# three shards\nshards/a.h5ad\nshards/b.h5ad  # the second\n\nshards/c.zarr\n")
    return tmp_path


def sources(folder):
    return {
        "h5ad": folder / "all.h5ad",
        "zarr": str(folder / "all.zarr"),
        "several": [folder / "shards" / name for name in ("a.h5ad", "b.h5ad", "c.zarr")],
        "pattern": str(folder / "shards" / "*"),
        "folder": folder / "shards",
        "list": folder / "list.txt",
        "mixed": [folder / "shards" / "[ab].h5ad", folder / "shards" / "c.zarr"],
    }


@pytest.mark.parametrize("how", ["h5ad", "zarr", "several", "pattern", "folder", "list", "mixed"])
@pytest.mark.parametrize("layer", [None, "counts", "raw"])
def test_every_source_holds_the_same_cells(adata, folder, trained, how, layer):
    found = {}
    for in_memory in ("yes", "no", "auto"):
        cells = open_cells(sources(folder)[how], in_memory=in_memory, layer=layer)
        assert list(cells.obs_names) == list(adata.obs_names)
        assert hasattr(cells, "store") == (in_memory == "no")
        QBMVAE.setup_anndata(cells, batch_key="batch", layer=layer)
        model = QBMVAE(cells, n_latent=6, n_hidden=16)
        found[in_memory] = model.door.enter(cells, model.registry_["setup_args"], model.registry_).counts
    assert found["yes"].checksum == found["no"].checksum == found["auto"].checksum
    np.testing.assert_array_equal(found["yes"].library, found["no"].library)


def test_training_and_embedding_agree_in_memory_and_on_disk(folder, tmp_path):
    found = {}
    for in_memory in ("yes", "no"):
        cells = open_cells(folder / "shards", in_memory=in_memory)
        QBMVAE.setup_anndata(cells, batch_key="batch")
        model = QBMVAE(cells, n_latent=6, n_hidden=16)
        model.train(**QUICK, shuffle_set_split=False)
        for again in ("yes", "no"):
            model.write_latent_representation(tmp_path / "z.parquet", open_cells(folder / "all.zarr", in_memory=again))
            z = pd.read_parquet(tmp_path / "z.parquet").to_numpy()
            np.testing.assert_allclose(z, model.get_latent_representation(), atol=1e-4)
        found[in_memory] = model.get_elbo()
    assert np.isfinite(list(found.values())).all()


def test_urls_in_memory_and_over_http(adata, folder, trained):
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in ("all.h5ad", "shards/a.h5ad", "shards/b.h5ad", "list.txt"):
        memory.pipe(f"/store/{name}", (folder / name).read_bytes())
    z = trained.get_latent_representation()
    for url, rows in [
        ("memory://store/all.h5ad", 240),
        ("memory://store/shards/*.h5ad", 160),
        ("memory://store/shards", 160),
    ]:
        for in_memory in ("yes", "no"):
            cells = open_cells(url, in_memory=in_memory)
            np.testing.assert_allclose(trained.get_latent_representation(cells), z[:rows], atol=1e-5)
    with pytest.raises(InputError, match="names no .h5ad or .zarr"):
        open_cells("memory://store/nothing*")
    with pytest.raises(InputError, match="no file memory://store/gone.h5ad"):
        open_cells("memory://store/gone.h5ad")
    memory.rm("/store", recursive=True)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        root = f"http://127.0.0.1:{server.server_port}"
        for url in (f"{root}/all.h5ad", f"{root}/all.zarr"):
            cells = open_cells(url, in_memory="no")
            np.testing.assert_allclose(trained.get_latent_representation(cells), z, atol=1e-5)
        with pytest.raises(InputError, match="gone.h5ad"):
            open_cells(f"{root}/gone.h5ad")
    finally:
        server.shutdown()
        server.server_close()


def test_auto_leaves_on_disk_what_does_not_fit_and_says_so(folder, monkeypatch, capsys):
    monkeypatch.setattr(opening, "free_memory", lambda: 100_000)
    assert hasattr(open_cells(folder / "all.h5ad"), "store")
    assert "are read from disk in blocks" in capsys.readouterr().err
    assert not hasattr(open_cells(folder / "all.h5ad", in_memory="yes"), "store")
    monkeypatch.setattr(opening, "free_memory", lambda: 10**9)
    assert not hasattr(open_cells(folder / "all.h5ad"), "store")
    assert hasattr(open_cells(folder / "all.h5ad", memory_share=1e-4), "store")
    assert opening.free_memory() > 0


def test_columns_cannot_be_read_in_blocks(adata, tmp_path, monkeypatch, capsys):
    by_columns = ad.AnnData(sp.csc_matrix(adata.X), obs=adata.obs, var=adata.var)
    by_columns[:100].write_h5ad(tmp_path / "a.h5ad")
    by_columns[100:].write_h5ad(tmp_path / "b.h5ad")
    for cells in (open_cells(tmp_path), open_cells(tmp_path, in_memory="yes")):
        np.testing.assert_array_equal(cells.X.toarray(), adata.X.toarray())
    monkeypatch.setattr(opening, "free_memory", lambda: 1000)
    assert open_cells(tmp_path).X.nnz == adata.X.nnz
    assert "stored by columns" in capsys.readouterr().err
    with pytest.raises(InputError, match="convert it to CSR"):
        open_cells(tmp_path, in_memory="no")


def test_slices_of_an_atlas_are_cells_and_copies_without_counts_are_refused(folder, trained):
    atlas, z = open_atlas(folder / "shards"), trained.get_latent_representation()
    np.testing.assert_allclose(trained.get_latent_representation(atlas[50:200, ::-1]), z[50:200], atol=1e-5)
    np.testing.assert_allclose(trained.get_latent_representation(atlas.copy()), z, atol=1e-5)
    np.testing.assert_allclose(trained.get_latent_representation(atlas.with_genes(atlas.var_names[::-1])), z, atol=1e-5)
    with pytest.raises(InputError, match="copy of cells on disk without their counts"):
        trained.get_latent_representation(atlas[50:200].copy())
    # methods that scvi-tools lends us read the counts too
    groups = {"groupby": "cell_type", "group1": "A", "silent": True}
    raw = ["raw_mean1", "non_zeros_proportion2", "raw_normalized_mean1"]
    tables = [trained.differential_expression(cells, **groups)[raw].sort_index() for cells in (atlas, None)]
    pd.testing.assert_frame_equal(*tables, rtol=1e-4)
    tables = []
    for cells in (atlas, None):
        torch.manual_seed(0)
        tables.append(trained.get_normalized_expression(cells, indices=[3, 4]))
    pd.testing.assert_frame_equal(*tables, rtol=1e-4)


def test_sources_that_are_none(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("# nothing\n")
    (tmp_path / "x.csv").write_text("a")
    for source, words in [
        ([], "no file is named"),
        (tmp_path / "nowhere.h5ad", "no file"),
        (tmp_path / "nowhere.zarr", "no file|damaged"),
        (str(tmp_path / "*.loom"), "no .h5ad or .zarr matches"),
        (tmp_path / "empty", "folder without .h5ad"),
        (tmp_path / "empty.txt", "names no file"),
        (tmp_path / "x.csv", "cells come from .h5ad files"),
        (tmp_path / "gone", "there is no file"),
        (3, "not int"),
        ([folder / "all.h5ad"] * 2, "named twice"),
        ([folder / "all.h5ad", folder / "all.zarr"], "more than once across the files"),
    ]:
        with pytest.raises((InputError, TypeError), match=words if source != 3 else "int"):
            open_cells(source)
    with pytest.raises(InputError, match="in_memory is 'auto', 'yes' or 'no'"):
        open_cells(folder / "all.h5ad", in_memory="maybe")
    with pytest.raises(InputError, match="no layer 'count'; nearest: 'counts'"):
        open_cells(folder / "all.h5ad", layer="count")
    assert [str(p) for p in expand(folder / "list.txt")] == [
        str(folder / "shards" / n) for n in ("a.h5ad", "b.h5ad", "c.zarr")
    ]
