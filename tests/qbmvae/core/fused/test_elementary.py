"""The inline functions against numpy's in float64, over the ranges that their docstrings name."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from qbmvae.core.fused import elementary, shares


def values_of(function, x):
    @numba.njit
    def each(x, out):
        for k in range(len(x)):
            out[k] = function(x[k])

    out = np.empty_like(x)
    each(x, out)
    return out.astype(np.float64)


def test_exp():
    x = np.linspace(-87, 87, 200_001, dtype=np.float32)
    error = np.abs(values_of(elementary.exp32, x) / np.exp(x.astype(np.float64)) - 1)
    assert (error <= 2e-7 + 8e-8 * np.abs(x)).all()
    assert values_of(elementary.exp32, np.zeros(1, dtype=np.float32)) == 1.0


def test_log_to_an_absolute_error():
    x = np.geomspace(1, 1000, 200_001).astype(np.float32)
    np.testing.assert_allclose(values_of(elementary.log32_absolute, x), np.log(x.astype(np.float64)), rtol=0, atol=6e-7)


@pytest.mark.parametrize("shape", [(2, 1), (7, 127), (100, 300)])
def test_softmax_of_columns(shape):
    rng = np.random.default_rng(0)
    x, bias = (20 * rng.standard_normal(s).astype(np.float32) for s in (shape, shape[0]))
    expected = np.exp((x + bias[:, None]).astype(np.float64) - (x + bias[:, None]).max(0))
    shares.softmax_columns(x, bias)
    np.testing.assert_allclose(x, expected / expected.sum(0), rtol=1e-5, atol=1e-30)
