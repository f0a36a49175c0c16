"""Kernels of the likelihoods of sparse counts: a few cells at a time, each row's logits become their own gradient."""

from __future__ import annotations

import math

import numba
import numpy as np

from qbmvae.core.fused.elementary import FAST, exp32, log1p32, log32

#: Counts with an entry in the tables, 0 to 8, and log 8!.
_TABLE, _LOG_8 = 9, math.lgamma(9.0)
_FACTORIALS = np.array([math.lgamma(k + 1.0) for k in range(1024)])


class Dispersion:
    """The dispersions of a step: what the kernels read, and the gradient that they add up.

    Parameters
    ----------
    log_theta
        Log inverse dispersions, `(n_rows, n_genes)`.
    factor
        What every gradient is multiplied by.

    """

    def __init__(self, log_theta: np.ndarray, factor: float):
        self._theta = np.exp(log_theta.astype(np.float64))
        self._table = gamma_table(self._theta)
        self._theta32, self._inverse = self._theta.astype(np.float32), (1.0 / self._theta).astype(np.float32)
        self._gradient, self._slopes = np.zeros(self._theta.shape), np.zeros(self._theta.shape, dtype=np.float32)
        self._factor = factor

    @property
    def arguments(self) -> tuple:
        """What the kernels take between the counts and their answer."""
        return (
            self._theta32, self._inverse, self._theta, self._table, self._factor, self._gradient, self._slopes,
        )  # fmt: skip

    def write_gradient(self, out: np.ndarray) -> None:
        """Write the gradient of `log_theta` that the kernels added up, float32."""
        np.add(self._gradient, self._slopes * self._factor, out=out, casting="same_kind")


@numba.njit(error_model="numpy", cache=True)
def _stirling(y):
    """Return log Gamma(y) and digamma(y) for y >= 8, errors below 1e-9 (Abramowitz and Stegun 6.1.41, 6.3.18)."""
    r = 1.0 / y
    r2 = r * r
    log_y = math.log(y)
    gamma = (y - 0.5) * log_y - y + 0.9189385332046727 + r * (1 / 12 - r2 * (1 / 360 - r2 * (1 / 1260 - r2 / 1680)))
    psi = log_y - 0.5 * r - r2 * (1 / 12 - r2 * (1 / 120 - r2 * (1 / 252 - r2 / 240)))
    return gamma, psi


@numba.njit(error_model="numpy", cache=True)
def gamma_table(theta):
    """Return log Gamma(theta + k) - log Gamma(theta) - log k! and theta times the digammas' difference, k = 0..8.

    `(n_rows, n_genes, 10, 2)`: what a count k adds to the log-likelihood and to its slope in log theta; the last entry
    is what a larger count adds to its own log Gamma(theta + k) - log k! and digamma, which Stirling's series gives.
    """
    table = np.zeros((*theta.shape, _TABLE + 1, 2))
    for r in range(theta.shape[0]):
        for g in range(theta.shape[1]):
            t = theta[r, g]
            for k in range(_TABLE - 1):
                table[r, g, k + 1, 0] = table[r, g, k, 0] + math.log((t + k) / (k + 1))
                table[r, g, k + 1, 1] = table[r, g, k, 1] + t / (t + k)
            # from theta + 8 on, Stirling holds for every theta
            low, psi_low = _stirling(t + 8.0)
            table[r, g, _TABLE, 0] = table[r, g, 8, 0] + _LOG_8 - low
            table[r, g, _TABLE, 1] = table[r, g, 8, 1] - t * psi_low
    return table


@numba.njit(error_model="numpy", cache=True)
def _large_count(x, t, table):
    """Return what `gamma_table` would hold for a count x above 8, from the table of this theta t."""
    high, psi_high = _stirling(x + t)
    factorial = _FACTORIALS[int(x)] if x < 1023.5 else _stirling(x + 1.0)[0]
    return table[_TABLE, 0] + high - factorial, table[_TABLE, 1] + t * psi_high


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _row_max(values):
    # 64 lanes by hand: a float maximum does not vectorise otherwise
    n = len(values)
    lanes = np.full(64, -np.inf, dtype=np.float32)
    whole = n - n % 64
    for start in range(0, whole, 64):
        for k in range(64):
            lanes[k] = max(lanes[k], values[start + k])
    top = np.float32(-np.inf)
    for k in range(64):
        top = max(top, lanes[k])
    for k in range(whole, n):
        top = max(top, values[k])
    return top


@numba.njit(error_model="numpy", fastmath=FAST | {"reassoc"}, cache=True)
def _sum(values):
    total = np.float32(0.0)
    for k in range(len(values)):
        total += values[k]
    return total


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _exponentials(values, top, out):
    for k in range(len(values)):
        out[k] = exp32(values[k] - top)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _scale(values, factor, out):
    for k in range(len(values)):
        out[k] = values[k] * factor


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _softmax(logits, library, mean):
    _exponentials(logits, _row_max(logits), mean)
    _scale(mean, library / _sum(mean), mean)


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
def _odds(mean, theta, genes, share, log_odds):
    """Write theta / (theta + mu) and log(mu / (theta + mu)) of the non-zero counts' genes."""
    for k in range(len(genes)):
        t, mu = theta[genes[k]], np.float64(mean[genes[k]])
        inverse = 1.0 / (t + mu)
        share[k] = t * inverse
        log_odds[k] = log32(max(np.float32(mu * inverse), np.float32(1e-30)))


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _finish(out, mean, residual, factor):
    """Subtract each frequency's share of the residuals' sum (softmax), and apply the factor."""
    for k in range(len(out)):
        out[k] = (out[k] - mean[k] * residual) * factor


@numba.njit(error_model="numpy", cache=True)
def negative_binomial(
    logits, library, rows, indptr, indices, data,
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
    theta32 to slopes
        `Dispersion.arguments`.
    value
        `(n_cells,)` float64.
    """
    n_cells, n_genes = logits.shape
    mean = np.empty(n_genes, dtype=np.float32)
    part = np.empty(n_genes, dtype=np.float32)
    share = np.empty(n_genes)
    log_odds = np.empty(n_genes, dtype=np.float32)
    for i in range(n_cells):
        r, out = rows[i], logits[i]
        _softmax(logits[i], library[i], mean)
        _zeros(mean, inverse[r], theta32[r], part, slopes[r])
        _residuals(mean, inverse[r], out)
        total, residual = np.float64(_sum(part)), np.float64(_sum(out))
        first, last = indptr[i], indptr[i + 1]
        if last - first > n_genes:
            share, log_odds = np.empty(last - first), np.empty(last - first, dtype=np.float32)
        _odds(mean, theta[r], indices[first:last], share, log_odds)
        for k in range(first, last):
            # unsigned: no test for indices counted from the end
            x, g = np.float64(data[k]), np.uint32(indices[k])
            if x < 8.5:
                gammas, psis = table[r, g, np.uint32(x), 0], table[r, g, np.uint32(x), 1]
            else:
                gammas, psis = _large_count(x, theta[r, g], table[r, g])
            push = x * share[k - first]
            total += x * log_odds[k - first] + gammas
            out[g] += np.float32(push)
            residual += push
            theta_gradient[r, g] += (psis - push) * factor
        _finish(out, mean, np.float32(residual / library[i]), np.float32(factor))
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
    logits, dropout, library, rows, indptr, indices, data,
    theta32, inverse, theta, table, factor, theta_gradient, slopes, value,
):  # fmt: skip
    """As `negative_binomial`, with probability sigmoid(dropout) of a zero; both logits become their gradient."""
    n_cells, n_genes = logits.shape
    mean = np.empty(n_genes, dtype=np.float32)
    part = np.empty(n_genes, dtype=np.float32)
    kept = np.empty(n_genes, dtype=np.float32)
    for i in range(n_cells):
        r, out = rows[i], logits[i]
        _softmax(logits[i], library[i], mean)
        _inflate(mean, inverse[r], theta32[r], dropout[i], part, slopes[r], kept)
        _inflate_residuals(mean, inverse[r], kept, out)
        total, residual = np.float64(_sum(part)), np.float64(_sum(out))
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
                gammas, psis = _large_count(x, t, table[r, g])
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
        value[i] = total
