"""The integer product is exact, for every shape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers.kernels import int8
from samplers.kernels.rng import LANES


@given(
    rows=st.integers(1, 9), columns=st.integers(1, 23), scale=st.sampled_from([1e-6, 1.0, 3e4]), seed=st.integers(0, 99)
)
@settings(max_examples=25, deadline=None)
def test_rounding_stays_within_half_a_unit(rows, columns, scale, seed):
    matrix = scale * np.random.default_rng(seed).normal(size=(rows, columns))
    packed = int8.pack(matrix)
    assert packed.words.shape == (-(-rows // 2), -(-columns // 4), 4)
    unit = np.abs(matrix).max() / int8.LARGEST
    assert np.abs(packed.rounded - matrix).max() <= 0.51 * unit + 1e-7 * np.abs(matrix).max()


def test_a_symmetric_matrix_stays_symmetric_and_zero_stays_zero():
    J = np.random.default_rng(0).normal(size=(17, 17))
    packed = int8.pack(J + J.T)
    assert np.array_equal(packed.rounded, packed.rounded.T)
    assert not int8.pack(np.zeros((3, 5))).words.any()


@pytest.mark.parametrize(("rows", "columns"), [(2, 4), (7, 13), (64, 130)])
def test_products_are_exact(rows, columns):
    if not int8.available():
        return  # this CPU has no such instruction, and no kernel uses it here
    rng = np.random.default_rng(1)
    packed = int8.pack(rng.normal(size=(rows, columns)))
    units = np.rint(packed.rounded / packed.scale).astype(np.int64)
    assert (units.sum(axis=1) == packed.row_sums).all()
    spins = rng.choice([-1, 1], size=(columns, LANES)).astype(np.float32)
    bits = np.empty((packed.words.shape[1], LANES), dtype=np.uint32)
    int8.pack_spins(spins, bits)
    raw = np.empty((2, LANES), dtype=np.int32)
    for pair in range(len(packed.words)):
        _dot(bits, packed.words, pair, raw)
        for i in range(min(2, rows - 2 * pair)):
            assert (raw[i] == units[2 * pair + i] @ (spins > 0)).all()


def _dot(bits, words, pair, raw):
    import numba

    global _compiled
    if _compiled is None:
        _compiled = numba.njit(lambda b, w, p, r: int8.dot_pair(b, w, p, r))
    _compiled(bits, words, pair, raw)


_compiled = None
