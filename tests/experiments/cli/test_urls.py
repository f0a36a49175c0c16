"""Cells that lie elsewhere, and cells on disk, through the command: the same run as from the file in memory."""

from __future__ import annotations

import functools
import http.server
import threading

import anndata as ad
import fsspec
import numpy as np
import pandas as pd
import pytest

from experiments.data.synthetic import synthetic

SMALL = ["--batch-key", "batch", "--max-epochs", 1, "--n-latent", 8, "--n-hidden", 16, "--no-report", "--quiet"]


class Silent(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The same cells at a URL of a local server, in fsspec's memory, in a .zarr and in two shards."""
    folder = tmp_path_factory.mktemp("places")
    cells = synthetic(120, 40, n_types=2, seed=0)
    cells.write_h5ad(folder / "cells.h5ad")
    cells.write_zarr(folder / "cells.zarr")
    (folder / "shards").mkdir()
    for i, rows in enumerate((slice(0, 50), slice(50, 120))):
        cells[rows].copy().write_h5ad(folder / "shards" / f"{i}.h5ad")
    with fsspec.open("memory://bucket/cells.h5ad", "wb") as file:
        file.write((folder / "cells.h5ad").read_bytes())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {
        "file": folder / "cells.h5ad",
        "http": f"http://127.0.0.1:{server.server_port}/cells.h5ad",
        "memory": "memory://bucket/cells.h5ad",
        "zarr": folder / "cells.zarr",
        "shards": folder / "shards",
    }
    server.shutdown()


def embedding(path):
    return pd.read_parquet(path / "embedding.parquet")


@pytest.mark.filterwarnings("ignore")
def test_cells_at_a_url_train_as_a_file_does(places, tmp_path, qbmvae):
    for name in ("file", "http", "memory"):
        code, out, err = qbmvae("train", places[name], *SMALL, "--out", tmp_path / name)
        assert (code, out) == (0, ""), err
        pd.testing.assert_frame_equal(embedding(tmp_path / name), embedding(tmp_path / "file"))
    code, _, err = qbmvae("embed", tmp_path / "file", places["http"], "--out", tmp_path / "z.h5ad", "--quiet")
    assert code == 0, err
    found = ad.read_h5ad(tmp_path / "z.h5ad")
    np.testing.assert_allclose(found.X, embedding(tmp_path / "file").loc[found.obs_names], atol=1e-5)
    code, _, err = qbmvae("train", places["http"].replace("cells", "gone"), *SMALL, "--out", tmp_path / "no")
    assert code == 2 and "gone.h5ad" in err and err.count("\n") == 1, err


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["file", "zarr", "shards", "memory"])
def test_cells_on_disk_train_and_embed_from_every_kind_of_file(places, tmp_path, qbmvae, name):
    code, _, err = qbmvae("train", places[name], *SMALL, "--in-memory", "no", "--out", tmp_path / "run")
    assert code == 0, err
    code, _, err = qbmvae(
        "embed", tmp_path / "run", places[name], "--in-memory", "no", "--out", tmp_path / "z.parquet", "--quiet"
    )
    assert code == 0, err
    again = pd.read_parquet(tmp_path / "z.parquet")
    pd.testing.assert_frame_equal(again, embedding(tmp_path / "run"), atol=1e-5)
    assert set(again.index) == set(ad.read_h5ad(places["file"]).obs_names)
