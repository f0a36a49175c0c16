r"""Stabilised expected rates of genes in one pass over a cell's logits: softmax, posterior mean of the rate, arsinh.

With :math:`u = L \rho / \theta` the stabilised rate is
:math:`2\sqrt\theta\,\mathrm{arsinh}\sqrt u = 2\sqrt\theta\,\log(\sqrt u + \sqrt{1 + u})`, see
`qbmvae.model.expression_space`. Everything is float32; loops that write one array each vectorise.
"""

from __future__ import annotations

import numba
import numpy as np

from qbmvae.core.fused.counts import softmax
from qbmvae.core.fused.elementary import FAST, exp32, log1p32

ONE = np.float32(1.0)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _stabilise(rate, inverse, root, out):
    """Write 2 root arsinh(sqrt(rate * inverse)), accurate for small rates too."""
    for k in range(len(rate)):
        u = rate[k] * inverse[k]
        out[k] = np.float32(2.0) * root[k] * log1p32(np.sqrt(u) + u / (ONE + np.sqrt(ONE + u)))


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _shrink(mean, inverse, out):
    """Write theta / (theta + mean), the posterior over the prior rate of a gene whose count is 0."""
    for k in range(len(mean)):
        out[k] = ONE / (ONE + mean[k] * inverse[k])


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _inflate(mean, inverse, theta, dropout, out):
    """Move the ratio of a zero toward 1 by the probability that the zero was dropped."""
    for k in range(len(mean)):
        # the log-likelihood of a zero of the NB part is -theta log(1 + mean / theta)
        odds = dropout[k] + theta[k] * log1p32(mean[k] * inverse[k])
        e = exp32(-abs(odds))
        dropped = (ONE if odds >= np.float32(0.0) else e) / (ONE + e)
        out[k] = out[k] + dropped * (ONE - out[k])


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _multiply(values, factor, out):
    for k in range(len(values)):
        out[k] = values[k] * factor[k]


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _add(values, shift):
    for k in range(len(values)):
        values[k] += shift[k]


@numba.njit(error_model="numpy", cache=True)
def decoded(logits, shift, library, inverse, root):
    """Replace logits, `(n_cells, n_genes)`, by the stabilised rates that they say.

    Parameters
    ----------
    logits
        Of the decoder, the covariates averaged out, without `shift`.
    shift
        Added to each cell's logits, `(n_genes,)`.
    library
        Total counts at which rates are compared.
    inverse, root
        1 / theta and its square root's inverse, `(n_genes,)`: of the scale, not of the likelihood.
    """
    rate = np.empty(logits.shape[1], dtype=np.float32)
    for i in range(len(logits)):
        _add(logits[i], shift)
        softmax(logits[i], library, rate)
        _stabilise(rate, inverse, root, logits[i])


@numba.njit(error_model="numpy", cache=True)
def expected(
    logits,
    shift,
    own,
    dropout,
    inflated,
    library,
    own_library,
    inverse,
    root,
    rows,
    own_inverse,
    theta,
    indptr,
    indices,
    data,
):
    """Replace logits by the stabilised rates that code and counts let expect, `(n_cells, n_genes)`.

    Parameters
    ----------
    logits, shift
        As in `decoded`.
    own, dropout
        Logits under each cell's own covariates, and those of a dropped zero where `inflated`.
    inflated
        Whether zeros are inflated.
    library, own_library
        Total counts at which rates are compared, and those of each cell, `(n_cells,)`.
    inverse, root
        As in `decoded`.
    rows, own_inverse, theta
        Row of the dispersions of each cell, 1 / theta and theta, `(n_rows, n_genes)`.
    indptr, indices, data
        The counts.
    """
    n_genes = logits.shape[1]
    rate, mean = np.empty(n_genes, dtype=np.float32), np.empty(n_genes, dtype=np.float32)
    ratio = np.empty(n_genes, dtype=np.float32)
    for i in range(len(logits)):
        r = rows[i]
        _add(logits[i], shift)
        softmax(logits[i], library, rate)
        softmax(own[i], own_library[i], mean)
        _shrink(mean, own_inverse[r], ratio)
        if inflated:
            _inflate(mean, own_inverse[r], theta[r], dropout[i], ratio)
        for k in range(indptr[i], indptr[i + 1]):
            g, x = np.uint32(indices[k]), data[k]
            if x >= np.float32(0.5):
                ratio[g] = (theta[r, g] + x) / (theta[r, g] + mean[g])
        _multiply(rate, ratio, rate)
        _stabilise(rate, inverse, root, logits[i])
