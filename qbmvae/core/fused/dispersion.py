"""Dispersions of negative binomials: tables of Gamma functions at small counts, and the gradient's sums."""

from __future__ import annotations

import math

import numba
import numpy as np

from qbmvae.core.fused.elementary import FAST

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
        theta = np.exp(log_theta, dtype=np.float64)
        theta32, inverse, gradient, slopes = _prepare(theta)
        #: what the kernels take between the tables and their answer
        self.arguments = theta32, inverse, theta, gamma_table(theta), factor, gradient, slopes

    def write_gradient(self, out: np.ndarray) -> None:
        """Write the gradient of `log_theta` that the kernels added up, float32."""
        *_, factor, gradient, slopes = self.arguments
        _finish_dispersion(gradient, slopes, factor, out)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _prepare(theta):
    """Return theta and its inverse in float32, and zeros of its shape in float64 and float32."""
    theta32 = theta.astype(np.float32)
    return theta32, (1.0 / theta).astype(np.float32), np.zeros(theta.shape), np.zeros_like(theta32)


@numba.njit(error_model="numpy", cache=True)
def _finish_dispersion(gradient, slopes, factor, out):
    for r in range(len(out)):
        for g in range(out.shape[1]):
            out[r, g] = np.float32(gradient[r, g] + np.float64(slopes[r, g]) * factor)


@numba.njit(error_model="numpy", cache=True)
def _stirling(y, log_y):
    """Return log Gamma(y) and digamma(y) for y >= 8, given its logarithm; errors below 1e-9 (Abramowitz and Stegun 6.1.41, 6.3.18)."""
    r = 1.0 / y
    r2 = r * r
    gamma = (y - 0.5) * log_y - y + 0.9189385332046727 + r * (1 / 12 - r2 * (1 / 360 - r2 * (1 / 1260 - r2 / 1680)))
    psi = log_y - 0.5 * r - r2 * (1 / 12 - r2 * (1 / 120 - r2 * (1 / 252 - r2 / 240)))
    return gamma, psi


def gamma_table(theta):
    """Return log Gamma(theta + k) - log Gamma(theta) - log k! and theta times the digammas' difference, k = 0..8.

    `(n_rows, n_genes, 10, 2)`: what a count k adds to the log-likelihood and to its slope in log theta; the last entry
    is what a larger count adds to its own log Gamma(theta + k) - log k! and digamma, which Stirling's series gives.
    """
    ratios = _ratios(theta)
    # numpy's logarithm is vectorised
    return _fill_table(theta, np.log(ratios, out=ratios))


@numba.njit(error_model="numpy", cache=True)
def _ratios(theta):
    """Return (theta + k) / (k + 1), k = 0..7, and theta + 8."""
    out = np.empty((_TABLE, *theta.shape))
    for k in range(_TABLE):
        divisor = 1.0 if k == _TABLE - 1 else k + 1.0
        for r in range(theta.shape[0]):
            for g in range(theta.shape[1]):
                out[k, r, g] = (theta[r, g] + k) / divisor
    return out


@numba.njit(error_model="numpy", cache=True)
def _fill_table(theta, logs):
    table = np.zeros((*theta.shape, _TABLE + 1, 2))
    for r in range(theta.shape[0]):
        for g in range(theta.shape[1]):
            t = theta[r, g]
            for k in range(_TABLE - 1):
                table[r, g, k + 1, 0] = table[r, g, k, 0] + logs[k, r, g]
                table[r, g, k + 1, 1] = table[r, g, k, 1] + t / (t + k)
            # from theta + 8 on, Stirling holds for every theta
            low, psi_low = _stirling(t + 8.0, logs[_TABLE - 1, r, g])
            table[r, g, _TABLE, 0] = table[r, g, 8, 0] + _LOG_8 - low
            table[r, g, _TABLE, 1] = table[r, g, 8, 1] - t * psi_low
    return table


@numba.njit(error_model="numpy", cache=True)
def large_count(x, t, table):
    """Return what `gamma_table` would hold for a count x above 8, from the table of this theta t.

    Parameters
    ----------
    x
        The count.
    t
        Theta.
    table
        Of this theta, as `gamma_table` writes it.
    """
    high, psi_high = _stirling(x + t, math.log(x + t))
    factorial = _FACTORIALS[int(x)] if x < 1023.5 else _stirling(x + 1.0, math.log(x + 1.0))[0]
    return table[_TABLE, 0] + high - factorial, table[_TABLE, 1] + t * psi_high
