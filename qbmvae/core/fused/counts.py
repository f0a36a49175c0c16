"""Kernels of the likelihoods of sparse counts: a few cells at a time, each row's logits become their own gradient."""

from __future__ import annotations

import math

import numba
import numpy as np

from qbmvae.core.fused.dispersion import large_count
from qbmvae.core.fused.elementary import FAST, exp32, log1p32, log32


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def row_max(values):
    """Return the largest value."""
    # as integers, which order as the floats do once the negative ones are flipped: a float maximum does not vectorise
    top = np.int32(-(2**31))
    for k in range(len(values)):
        bits = np.int32(np.float32(values[k]).view(np.int32))
        ordered = np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))
        top = ordered if ordered > top else top
    return np.int32(top ^ ((top >> np.int32(31)) & np.int32(0x7FFFFFFF))).view(np.float32)


@numba.njit(error_model="numpy", fastmath=FAST | {"reassoc"}, cache=True)
def row_sum(values):
    """Return the sum of the values."""
    total = np.float32(0.0)
    for k in range(len(values)):
        total += values[k]
    return total


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def exponentials(values, top, out):
    """Write exp(value - top).

    Parameters
    ----------
    values, top, out
        `(n,)`, a number, and where to, `(n,)`.
    """
    for k in range(len(values)):
        out[k] = exp32(values[k] - top)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _scale(values, factor, out):
    for k in range(len(values)):
        out[k] = values[k] * factor


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def softmax(logits, library, mean):
    """Write library * softmax(logits).

    Parameters
    ----------
    logits
        `(n_genes,)` float32.
    library
        The cell's total.
    mean
        `(n_genes,)`; written.
    """
    exponentials(logits, row_max(logits), mean)
    _scale(mean, library / row_sum(mean), mean)


@numba.njit(error_model="numpy", fastmath=FAST, inline="always")
def _zero(mean, inverse, theta):
    """Return the log-likelihood of a zero and its slope in log theta, theta (-log1p(u) + u / (1 + u))."""
    u = mean * inverse
    log1p = log1p32(u)
    # the difference cancels for small u (near-Poisson genes): there a series
    series = u * u * (np.float32(-0.5) + u * (np.float32(2 / 3) + u * (np.float32(-0.75) + u * np.float32(0.8))))
    exact = u / (np.float32(1.0) + u) - log1p
    return -theta * log1p, theta * (series if u < np.float32(0.02) else exact)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _zeros(mean, inverse, theta, value, slopes):
    """Write each gene's log-likelihood of a zero, and add its slope in log theta."""
    for k in range(len(mean)):
        part, slope = _zero(mean[k], inverse[k], theta[k])
        value[k] = part
        slopes[k] += slope


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _residuals(mean, inverse, out):
    """Write mu d/dmu of the log-likelihood of a zero, -mu / (1 + u)."""
    for k in range(len(mean)):
        out[k] = -mean[k] / (np.float32(1.0) + mean[k] * inverse[k])


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _collect(values, genes, out):
    for k in range(len(out)):
        # unsigned: no test for indices counted from the end
        out[k] = values[np.uint32(genes[k])]


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _shares(mean, theta, out):
    """Write theta / (theta + mu)."""
    for k in range(len(out)):
        out[k] = theta[k] / (theta[k] + np.float64(mean[k]))


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _log_odds(mean, theta, out):
    """Write log(mu / (theta + mu))."""
    for k in range(len(out)):
        out[k] = log32(max(mean[k] / (np.float32(theta[k]) + mean[k]), np.float32(1e-30)))


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _finish(out, mean, residual, factor):
    """Subtract each frequency's share of the residuals' sum (softmax), and apply the factor."""
    for k in range(len(out)):
        out[k] = (out[k] - mean[k] * residual) * factor


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def add_rows(first, last, columns, values, table, out):
    """Add the rows of a table that a cell's design picks.

    Parameters
    ----------
    first, last
        Where the cell's entries of the design lie.
    columns, values
        The design's entries.
    table, out
        `(n_rows, n_genes)`, and what they are added to, `(n_genes,)`.
    """
    for k in range(first, last):
        row, value = table[columns[k]], values[k]
        for g in range(len(out)):
            out[g] += value * row[g]


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _hand_on(first, last, columns, values, slope, gradient):
    """Add a cell's slopes to the gradients of the rows that its design picks."""
    for k in range(first, last):
        row, value = gradient[columns[k]], values[k]
        for g in range(len(slope)):
            row[g] += value * slope[g]


@numba.njit(cache=True)
def _buffers(n):
    return np.empty(n), np.empty(n), np.empty(n, dtype=np.float32), np.empty(n, dtype=np.float32)


@numba.njit(error_model="numpy", cache=True)
def negative_binomial(
    logits, library, rows, indptr, indices, data, picked, columns, values, table_of_logits, table_gradient,
    theta32, inverse, theta, table, factor, theta_gradient, slopes, value,
):  # fmt: skip
    """Write each cell's log-likelihood to `value`, and over `logits` their gradient; add that of log theta.

    Parameters
    ----------
    logits
        `(n_cells, n_genes)` float32.
    library, rows
        Total counts and row of theta of each cell.
    indptr, indices, data
        The counts.
    picked, columns, values
        The design, see `Covariates.design`.
    table_of_logits, table_gradient
        What the design picks rows of and adds to the logits, and its gradient, added to; `(n_rows, n_genes)`.
    theta32 to slopes
        `Dispersion.arguments`.
    value
        `(n_cells,)` float64.
    inverse, theta, table, factor, theta_gradient
        Of `Dispersion.arguments` too.
    """
    n_cells, n_genes = logits.shape
    mean = np.empty(n_genes, dtype=np.float32)
    part = np.empty(n_genes, dtype=np.float32)
    shares, thetas, means, log_odds = _buffers(n_genes)
    for i in range(n_cells):
        r, out = rows[i], logits[i]
        add_rows(picked[i], picked[i + 1], columns, values, table_of_logits, out)
        softmax(out, library[i], mean)
        _zeros(mean, inverse[r], theta32[r], part, slopes[r])
        _residuals(mean, inverse[r], out)
        total, residual = np.float64(row_sum(part)), np.float64(row_sum(out))
        first, last = indptr[i], indptr[i + 1]
        stored = last - first
        if stored > len(means):
            shares, thetas, means, log_odds = _buffers(stored)
        _collect(mean, indices[first:last], means[:stored])
        _collect(theta[r], indices[first:last], thetas[:stored])
        _shares(means, thetas, shares[:stored])
        _log_odds(means, thetas, log_odds[:stored])
        for k in range(first, last):
            # unsigned: no test for indices counted from the end
            x, g = np.float64(data[k]), np.uint32(indices[k])
            if x < 8.5:
                gammas, psis = table[r, g, np.uint32(x), 0], table[r, g, np.uint32(x), 1]
            else:
                gammas, psis = large_count(x, theta[r, g], table[r, g])
            push = x * shares[k - first]
            total += x * log_odds[k - first] + gammas
            out[g] += np.float32(push)
            residual += push
            theta_gradient[r, g] += (psis - push) * factor
        _finish(out, mean, np.float32(residual / library[i]), np.float32(factor))
        _hand_on(picked[i], picked[i + 1], columns, values, out, table_gradient)
        value[i] = total


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _inflate(mean, inverse, theta, dropout, value, slopes, kept):
    """Write each gene's log-likelihood of an inflated zero and the share of its NB part; add the slope in log theta."""
    one, zero = np.float32(1.0), np.float32(0.0)
    for k in range(len(mean)):
        part, slope = _zero(mean[k], inverse[k], theta[k])
        d = dropout[k]
        # log(e^d + e^part) - softplus(d)
        gap = part - d
        e = exp32(-abs(gap))
        ratio = (one if gap >= zero else e) / (one + e)
        value[k] = max(d, part) + log1p32(e) - max(d, zero) - log1p32(exp32(-abs(d)))
        kept[k] = ratio
        slopes[k] += ratio * slope


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _inflate_residuals(mean, inverse, kept, out):
    for k in range(len(mean)):
        out[k] = -kept[k] * mean[k] / (np.float32(1.0) + mean[k] * inverse[k])


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _dropout_slopes(dropout, kept, factor):
    """Replace dropout logits by their gradient where the count is zero, 1 - kept - sigmoid(d), times the factor."""
    one, zero = np.float32(1.0), np.float32(0.0)
    for k in range(len(dropout)):
        e = exp32(-abs(dropout[k]))
        dropout[k] = (one - kept[k] - (one if dropout[k] >= zero else e) / (one + e)) * factor


@numba.njit(error_model="numpy", cache=True)
def zero_inflated(
    logits, dropout, library, rows, indptr, indices, data, picked, columns, values,
    table_of_logits, table_of_dropout, table_gradient, dropout_table_gradient,
    theta32, inverse, theta, table, factor, theta_gradient, slopes, value,
):  # fmt: skip
    """As `negative_binomial`, with probability sigmoid(dropout) of a zero; both logits become their gradient.

    Parameters
    ----------
    logits, library, rows, indptr, indices, data, picked, columns, values
        As in `negative_binomial`.
    theta32, inverse, theta, table, factor, theta_gradient, slopes, value
        As in `negative_binomial`.
    dropout
        `(n_cells, n_genes)` float32, as `logits`.
    table_of_logits, table_of_dropout, table_gradient, dropout_table_gradient
        Of both heads.
    """
    n_cells, n_genes = logits.shape
    mean = np.empty(n_genes, dtype=np.float32)
    part = np.empty(n_genes, dtype=np.float32)
    kept = np.empty(n_genes, dtype=np.float32)
    for i in range(n_cells):
        r, out = rows[i], logits[i]
        add_rows(picked[i], picked[i + 1], columns, values, table_of_logits, out)
        add_rows(picked[i], picked[i + 1], columns, values, table_of_dropout, dropout[i])
        softmax(out, library[i], mean)
        _inflate(mean, inverse[r], theta32[r], dropout[i], part, slopes[r], kept)
        _inflate_residuals(mean, inverse[r], kept, out)
        total, residual = np.float64(row_sum(part)), np.float64(row_sum(out))
        for k in range(indptr[i], indptr[i + 1]):
            x = np.float64(data[k])
            if x <= 0.0:
                continue
            g = indices[k]
            t, mu, d = theta[r, g], max(np.float64(mean[g]), 1e-30), np.float64(dropout[i, g])
            share = t / (t + mu)
            if x < 8.5:
                gammas, psis = table[r, g, int(x), 0], table[r, g, int(x), 1]
            else:
                gammas, psis = large_count(x, t, table[r, g])
            nb = x * math.log(mu / (t + mu)) + gammas - t * math.log1p(mu / t)
            total += nb - max(d, 0.0) - math.log1p(math.exp(-abs(d))) - part[g]
            push = x * share - mu * share
            residual += push - out[g]
            out[g] = push
            _, slope = _zero(mean[g], inverse[r, g], theta32[r, g])
            # a count above 0 comes from the NB alone
            theta_gradient[r, g] += (psis - x * share + np.float64(slope * (1.0 - kept[g]))) * factor
            kept[g] = 1.0
        _dropout_slopes(dropout[i], kept, np.float32(factor))
        _finish(out, mean, np.float32(residual / library[i]), np.float32(factor))
        _hand_on(picked[i], picked[i + 1], columns, values, out, table_gradient)
        _hand_on(picked[i], picked[i + 1], columns, values, dropout[i], dropout_table_gradient)
        value[i] = total
