from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.tasks.arrays import as_codes, check_embedding, nearest_neighbors, stratified_subsample
from samplers.errors import InputError


def test_neighbours_equal_a_full_sort():
    x = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    found = nearest_neighbors(x, 10)
    distances = np.linalg.norm(x[:, None].astype(float) - x[None], axis=-1)
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :10], atol=1e-5)
    assert np.array_equal(found.indices[:, 0], np.arange(60))


def test_identical_cells_are_their_own_first_neighbour():
    found = nearest_neighbors(np.zeros((30, 2), dtype=np.float32), 5)
    assert np.array_equal(found.indices[:, 0], np.arange(30))
    assert not found.distances.any()


def test_more_neighbours_than_cells_is_all_cells():
    assert nearest_neighbors(np.eye(4, dtype=np.float32), 90).indices.shape == (4, 4)
    assert nearest_neighbors(np.ones((1, 2), dtype=np.float32), 90).indices.shape == (1, 1)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), st.integers(1, 100), st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_subsample_keeps_every_stratum_and_repeats(strata, n_max, seed):
    rows = stratified_subsample(strata, n_max, seed)
    assert np.array_equal(rows, stratified_subsample(strata, n_max, seed))
    assert np.array_equal(rows, np.unique(rows))
    assert {strata[r] for r in rows} == set(strata)
    assert len(rows) <= n_max + 6


def test_bad_rows_are_named():
    x = np.zeros((5, 2))
    x[3, 1] = np.nan
    with pytest.raises(InputError, match="row 3"):
        check_embedding(x)
    with pytest.raises(InputError, match="4 cells"):
        check_embedding(np.zeros((5, 2)), 4)
    with pytest.raises(InputError, match="row 1"):
        as_codes(["a", None], 2, "label")
