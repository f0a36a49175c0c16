r"""Stabilised expected rates of genes in one pass over a cell's logits: softmax, posterior mean of the rate, arsinh.

With :math:`u = L \rho / \theta` the stabilised rate is
:math:`2\sqrt\theta\,\mathrm{arsinh}\sqrt u = 2\sqrt\theta\,\log(\sqrt u + \sqrt{1 + u})`, see
`qbmvae.model.expression_space`. The kernels write the logarithm alone: who projects puts :math:`2\sqrt\theta` into the axes.
Everything is float32; loops that write one array each vectorise.
"""

from __future__ import annotations

import numba
import numpy as np

from qbmvae.core.fused.counts import add_rows, exponentials, row_max, row_sum
from qbmvae.core.fused.elementary import FAST, exp32, log32, log32_absolute

ONE = np.float32(1.0)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True, nogil=True)
def _multiply_exponentials(frequency, change, shift, out):
    """Write the frequencies under other logits, larger by `change + shift`, up to a factor."""
    for k in range(len(frequency)):
        # bfloat16 is the upper half of a float32
        wide = np.int32(np.uint32(change[k]) << np.uint32(16)).view(np.float32)
        out[k] = frequency[k] * exp32(wide + shift[k])


@numba.njit(error_model="numpy", fastmath=FAST, cache=True, nogil=True)
def _shrink(frequency, factor, inverse):
    """Replace frequencies by theta / (theta + mean), the posterior over the prior rate of a gene whose count is 0."""
    for k in range(len(frequency)):
        frequency[k] = ONE / (ONE + factor * frequency[k] * inverse[k])


@numba.njit(error_model="numpy", fastmath=FAST, cache=True, nogil=True)
def _inflate(ratio, theta, dropout, out):
    """Write the ratio of a zero, moved toward 1 by the probability that the zero was dropped."""
    for k in range(len(ratio)):
        # the log-likelihood of a zero of the NB part is theta log(theta / (theta + mean))
        odds = dropout[k] - theta[k] * log32(ratio[k])
        e = exp32(-abs(odds))
        dropped = (ONE if odds >= np.float32(0.0) else e) / (ONE + e)
        out[k] = ratio[k] + dropped * (ONE - ratio[k])


@numba.njit(error_model="numpy", fastmath=FAST, cache=True, nogil=True)
def _stabilise(frequency, factor, inverse, out):
    """Write arsinh(sqrt(factor * frequency * inverse)), to 6e-7."""
    for k in range(len(frequency)):
        u = factor * frequency[k] * inverse[k]
        out[k] = log32_absolute(np.sqrt(u) + np.sqrt(ONE + u))


@numba.njit(error_model="numpy", fastmath=FAST, cache=True, nogil=True)
def _stabilise_shrunk(frequency, factor, inverse, ratio, out):
    """As `_stabilise`, of rates times a ratio."""
    for k in range(len(frequency)):
        u = factor * frequency[k] * inverse[k] * ratio[k]
        out[k] = log32_absolute(np.sqrt(u) + np.sqrt(ONE + u))


@numba.njit(error_model="numpy", cache=True, nogil=True)
def decoded(logits, library, inverse):
    """Replace logits, `(n_cells, n_genes)`, by arsinh(sqrt(rate / theta)) of the rates that they say.

    Parameters
    ----------
    logits
        Of the decoder, the covariates averaged out.
    library
        Total counts at which rates are compared.
    inverse
        1 / theta, `(n_genes,)`: of the scale, not of the likelihood.
    """
    frequency = np.empty(logits.shape[1], dtype=np.float32)
    for i in range(len(logits)):
        exponentials(logits[i], row_max(logits[i]), frequency)
        _stabilise(frequency, library / row_sum(frequency), inverse, logits[i])


@numba.njit(error_model="numpy", cache=True, nogil=True)
def expected(
    logits, change, picked, columns, values, table, dropout, dropout_table, inflated, library, own_library, inverse,
    rows, own_inverse, theta, indptr, indices, data,
):  # fmt: skip
    """Replace logits by arsinh(sqrt(rate / theta)) of the rates that code and counts let expect, `(n_cells, n_genes)`.

    Parameters
    ----------
    logits
        As in `decoded`.
    change
        What each cell's own covariates add to its logits by way of the hidden layers: the bits of a bfloat16, uint16.
    picked, columns, values, table
        What they add in the output layer: a design, see `Covariates.design`, and the rows that it picks.
    dropout, dropout_table
        Logits of a dropped zero without what the design picks, and its table, where `inflated`; overwritten.
    inflated
        Whether zeros are inflated.
    library, own_library
        Total counts at which rates are compared, and those of each cell, `(n_cells,)`.
    inverse
        As in `decoded`.
    rows, own_inverse, theta
        Row of the dispersions of each cell, 1 / theta and theta, `(n_rows, n_genes)`.
    indptr, indices, data
        The counts.
    """
    n_genes = logits.shape[1]
    frequency, own = np.empty(n_genes, dtype=np.float32), np.empty(n_genes, dtype=np.float32)
    inflating = np.empty(n_genes if inflated else 0, dtype=np.float32)
    sums = np.empty(n_genes, dtype=np.float32)
    for i in range(len(logits)):
        r, first = rows[i], picked[i]
        exponentials(logits[i], row_max(logits[i]), frequency)
        # the first row of a design has the value 1, and is the only one where there is one covariate
        shift = table[columns[first]]
        if picked[i + 1] > first + 1:
            sums[:] = shift
            add_rows(first + 1, picked[i + 1], columns, values, table, sums)
            shift = sums
        _multiply_exponentials(frequency, change[i], shift, own)
        _shrink(own, own_library[i] / row_sum(own), own_inverse[r])
        ratio = own
        if inflated:
            add_rows(first, picked[i + 1], columns, values, dropout_table, dropout[i])
            _inflate(own, theta[r], dropout[i], inflating)
            ratio = inflating
        for k in range(indptr[i], indptr[i + 1]):
            g = np.uint32(indices[k])
            if data[k] >= np.float32(0.5):
                # (theta + x) / (theta + mean); a count above 0 was not dropped
                ratio[g] = own[g] * (ONE + data[k] * own_inverse[r, g])
        _stabilise_shrunk(frequency, library / row_sum(frequency), inverse, ratio, logits[i])
