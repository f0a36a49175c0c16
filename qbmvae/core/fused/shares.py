"""Softmax over few rows of many columns: every loop runs along the columns, where it vectorises whatever the rows' number."""

from __future__ import annotations

import numba
import numpy as np

from qbmvae.core.fused.elementary import FAST, exp32

#: Columns at once: what is written stays in the fastest cache.
WIDTH = 128


@numba.njit(error_model="numpy", fastmath=FAST, cache=True, nogil=True)
def _raise(values, bias, top):
    for j in range(len(top)):
        shifted = values[j] + bias
        top[j] = shifted if shifted > top[j] else top[j]


@numba.njit(error_model="numpy", fastmath=FAST, cache=True, nogil=True)
def _exponentials(values, bias, top):
    for j in range(len(top)):
        values[j] = exp32(values[j] + bias - top[j])


@numba.njit(error_model="numpy", fastmath=FAST, cache=True, nogil=True)
def _add(values, total):
    for j in range(len(total)):
        total[j] += values[j]


@numba.njit(error_model="numpy", fastmath=FAST, cache=True, nogil=True)
def _divide(values, total):
    for j in range(len(total)):
        values[j] /= total[j]


@numba.njit(error_model="numpy", cache=True, nogil=True)
def softmax_columns(logits, bias):
    """Replace each column by the softmax of it plus the bias.

    Parameters
    ----------
    logits
        `(n_rows, n_columns)` float32.
    bias
        Of each row, `(n_rows,)`.
    """
    n_rows, n_columns = logits.shape
    tops, totals = np.empty(WIDTH, dtype=np.float32), np.empty(WIDTH, dtype=np.float32)
    for start in range(0, n_columns, WIDTH):
        stop = min(start + WIDTH, n_columns)
        top, total = tops[: stop - start], totals[: stop - start]
        top[:], total[:] = np.float32(-3e38), np.float32(0.0)
        for i in range(n_rows):
            _raise(logits[i, start:stop], bias[i], top)
        for i in range(n_rows):
            _exponentials(logits[i, start:stop], bias[i], top)
            _add(logits[i, start:stop], total)
        for i in range(n_rows):
            _divide(logits[i, start:stop], total)
