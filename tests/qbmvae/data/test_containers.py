"""Counts are the same counts in every container and number type."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qbmvae import fingerprint
from qbmvae.data.containers import as_rows, looks_like_counts, take_columns
from samplers import InputError

COUNTS = arrays(np.int64, st.tuples(st.integers(1, 7), st.integers(1, 6)), elements=st.integers(0, 9))


def containers(x: np.ndarray) -> dict[str, object]:
    """Return whole numbers of at most 255 in every container in memory."""
    coo = sp.coo_array(x)
    # each entry as the sum of two, columns from right to left, with zeros stored
    doubled = sp.csr_matrix(x.astype(np.float32))
    halves = sp.csr_matrix(
        (
            np.concatenate([np.r_[row[::-1] / 2, row[::-1] / 2] for row in x.astype(np.float32)]),
            np.concatenate([np.r_[np.arange(x.shape[1])[::-1]] for _ in range(2 * len(x))]),
            np.arange(len(x) + 1) * 2 * x.shape[1],
        ),
        shape=x.shape,
    )
    wide = sp.csr_matrix(x.astype(np.float32))
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    found = {
        "csr": doubled,
        "csc": sp.csc_matrix(x.astype(np.float64)),
        "coo": coo,
        "lil": sp.lil_matrix(x.astype(np.float32)),
        "csr array": sp.csr_array(x.astype(np.float32)),
        "csc array": sp.csc_array(x),
        "bsr": sp.bsr_array(x.astype(np.float32), blocksize=(1, 1)),
        "duplicates": halves,
        "int64 indices": wide,
        "C": np.ascontiguousarray(x, dtype=np.float32),
        "F": np.asfortranarray(x, dtype=np.float64),
        "strided": np.repeat(x, 2, axis=1)[:, ::2],
        "float16": x.astype(np.float16),
        "big endian": x.astype(">f4"),
    }
    kinds = (np.uint8, np.uint16, np.uint32, np.uint64, np.int8, np.int16, np.int32)
    found |= {k.__name__: x.astype(k) for k in kinds} | {f"csr {k.__name__}": sp.csr_matrix(x.astype(k)) for k in kinds}
    for name in ("csr", "C", "duplicates"):
        frozen = found[name].copy()
        for part in [frozen] if name == "C" else [frozen.data, frozen.indices, frozen.indptr]:
            part.setflags(write=False)
        found[f"read-only {name}"] = frozen
    return found


@given(COUNTS)
def test_every_container_gives_the_same_rows_and_is_left_alone(x):
    plain = as_rows(sp.csr_matrix(x.astype(np.float32)))
    for name, given_ in containers(x).items():
        before = fingerprint.of_matrix(given_)
        rows = as_rows(given_)
        assert rows.has_canonical_format and rows.data.all(), name
        np.testing.assert_array_equal(rows.toarray(), x, err_msg=name)
        np.testing.assert_array_equal(rows.indices, plain.indices, err_msg=name)
        assert fingerprint.of_matrix(given_) == before, name


@given(COUNTS, st.data())
def test_columns_are_taken_by_number_and_missing_ones_are_zero(x, data):
    columns = np.asarray(data.draw(st.lists(st.integers(-1, x.shape[1] - 1), max_size=8, unique_by=lambda c: c if c >= 0 else object())), dtype=np.int64)  # fmt: skip
    taken = take_columns(as_rows(x), columns)
    expected = np.where(columns >= 0, x[:, columns], 0) if len(columns) else np.zeros((len(x), 0))
    np.testing.assert_array_equal(taken.toarray(), expected)
    assert taken.has_canonical_format


@given(COUNTS, st.data())
def test_a_changed_value_changes_the_fingerprint(x, data):
    i, j = data.draw(st.integers(0, x.shape[0] - 1)), data.draw(st.integers(0, x.shape[1] - 1))
    other = x.copy()
    other[i, j] += 1
    assert fingerprint.of_matrix(x) != fingerprint.of_matrix(other)
    assert fingerprint.of_matrix(sp.csr_matrix(x)) != fingerprint.of_matrix(sp.csr_matrix(other))
    assert fingerprint.of_matrix(x) == fingerprint.of_matrix(x.copy())


@given(COUNTS, st.integers(0, 7))
def test_the_fingerprint_of_rows_does_not_depend_on_the_blocks(x, cut):
    rows, start, keys = as_rows(x), (0, 0, 0), fingerprint.of_names(range(x.shape[1]))
    whole = fingerprint.of_rows(rows, keys)
    for part in (rows[:cut], rows[cut:]):
        start = fingerprint.of_rows(part, keys, start)
    assert start == whole
    kept = np.flatnonzero(x.any(axis=0))
    assert fingerprint.of_rows(take_columns(rows, kept), keys[kept]) == whole


@pytest.mark.parametrize("kind", [complex, "U3", object, "datetime64[s]"])
def test_values_that_are_no_numbers_are_refused(kind):
    with pytest.raises(InputError, match="not real numbers"):
        as_rows(np.zeros((2, 2), dtype=kind))


def test_masked_values_are_refused():
    with pytest.raises(InputError, match="masked"):
        as_rows(np.ma.masked_array(np.ones((2, 2)), mask=[[True, False], [False, False]]))
    assert as_rows(np.ma.masked_array(np.ones((2, 2)))).nnz == 4


def test_what_looks_like_counts():
    assert looks_like_counts(np.array([[0.0, 3.0]])) and looks_like_counts(sp.csr_matrix([[0, 1]]))
    for x in ([[0.5, 1]], [[-1, 2]], [[0, 0]], [[np.nan, 1]]):
        assert not looks_like_counts(np.asarray(x, dtype=float))
