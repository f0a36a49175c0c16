from __future__ import annotations

import itertools

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import zarr
from anndata.io import write_elem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qbmvae.data.atlas import open_atlas
from qbmvae.data.chunks import MOST_ROWS, ChunkedValues, dense_blocks, sparse_blocks
from qbmvae.data.disk_source import BlockSource


class Counted:
    """An array in chunks that notes which of them each read takes."""

    def __init__(self, values, chunk):
        self.values, self.chunks, self.taken = values, (chunk,), []

    def __getitem__(self, part):
        if part.stop > part.start:
            self.taken += range(part.start // self.chunks[0], (part.stop - 1) // self.chunks[0] + 1)
        return self.values[part]


# a busy machine draws slowly
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 40), st.integers(1, 20), st.integers(0, 9))
def test_blocks_cover_the_rows_and_later_epochs_read_each_chunk_once(lengths, chunk, size, seed):
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    array = Counted(np.arange(indptr[-1]), chunk)
    values, edges = ChunkedValues(array, indptr), sparse_blocks(indptr, chunk, size)
    assert edges[0] == 0 and edges[-1] == len(lengths) and (np.diff(edges) > 0).all()
    blocks = list(itertools.pairwise(edges))
    for a, b in blocks:
        np.testing.assert_array_equal(values.read(indptr[a], indptr[b]), np.arange(indptr[a], indptr[b]))
    array.taken.clear()
    for k in np.random.default_rng(seed).permutation(len(blocks)):
        a, b = blocks[k]
        np.testing.assert_array_equal(values.read(indptr[a], indptr[b]), np.arange(indptr[a], indptr[b]))
    # a row that spans whole chunks, or a block that ends within one, may take a chunk again
    if chunk > max(lengths) and chunk < indptr[-1]:
        assert max(np.bincount(array.taken), default=0) <= 1


def test_blocks_of_large_chunks_stay_in_bounds():
    assert np.diff(dense_blocks(100_000, 300, 1024)).max() == 1200
    assert np.diff(dense_blocks(100_000, 50_000, 1024)).max() == MOST_ROWS
    indptr = np.arange(100_001) * 10
    assert np.diff(sparse_blocks(indptr, 500_000, 1024)).max() == MOST_ROWS
    assert np.diff(sparse_blocks(indptr, 0, 1024)).max() == 1024
    assert 900 <= np.diff(sparse_blocks(indptr, 700, 1024))[:-1].mean() <= 1200


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore:zarr v3 autosharding")
def test_a_chunked_file_is_read_as_it_is(tmp_path, kind):
    x = sp.random(400, 30, 0.2, format="csr", random_state=0, dtype=np.float32)
    path = tmp_path / f"cells.{kind}"
    file = h5py.File(path, "w") if kind == "h5ad" else zarr.open_group(path, mode="w")
    write_elem(file, "/", ad.AnnData(sp.csr_matrix(x.shape, dtype=np.float32)))
    write_elem(file, "X", x, dataset_kwargs={"chunks": (500,)})
    if kind == "h5ad":
        file.close()
    atlas = open_atlas(path)
    source = BlockSource(atlas.store, [np.zeros(400, dtype=np.int64)], block_size=64, group_size=128)
    # 85 rows a chunk
    assert len(atlas.store.blocks(64)) - 1 == 5
    for epoch in (0, 1):
        seen = []
        for batch in source.epoch(30, 0, epoch):
            np.testing.assert_array_equal(batch.x.dense().numpy(), x[batch.rows].toarray())
            seen.append(batch.rows)
        np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(400))
