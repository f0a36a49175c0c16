r"""The negative binomial of softmax means over sparse counts: value and gradients in one pass over the logits.

With :math:`\mu = L\,\mathrm{softmax}(a)`, :math:`u = \mu / \theta` and a count x, the log-likelihood is

.. math:: -\theta \log(1 + u) + [x > 0]\,(x \log\frac{u}{1 + u} + \log\Gamma(x + \theta) - \log\Gamma(\theta) - \log x!)

so that zeros need one log1p, and only the non-zero counts need Gamma functions. Those differ by finite sums: per-gene
tables up to 8, Stirling's series above.
"""

from __future__ import annotations

import math

import numba
import numpy as np
import torch
from torch import Tensor

from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused.elementary import FAST, exp32, log1p32

_TABLE = 9
_FACTORIALS = np.array([math.lgamma(k + 1.0) for k in range(1024)])


class _NegativeBinomial(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, log_theta, library, block, rows):
        value = logits.detach().numpy()
        log_theta64 = log_theta.detach().numpy().astype(np.float64)
        theta = np.exp(log_theta64)
        gamma, psi = _tables(theta)
        # torch's memory is aligned to 64 bytes, numpy's is not: MKL's products differ in the last bit with alignment
        gradient = torch.empty_like(logits)
        log_likelihood = np.empty(len(value))
        theta_gradient = np.zeros(theta.shape)
        _forward(
            value, theta.astype(np.float32), theta, gamma, psi, library.numpy(), rows,
            block.indptr, block.indices, block.data, _FACTORIALS, gradient.numpy(), log_likelihood, theta_gradient,
        )  # fmt: skip
        ctx.gradient, ctx.theta_gradient = gradient, torch.from_numpy(theta_gradient).float()
        per_cell = torch.from_numpy(log_likelihood).float()
        ctx.mark_non_differentiable(per_cell)
        return torch.tensor(log_likelihood.sum(), dtype=logits.dtype), per_cell

    @staticmethod
    def backward(ctx, grad_sum, _):
        return ctx.gradient.mul_(grad_sum), ctx.theta_gradient.mul_(grad_sum), None, None, None


def negative_binomial(
    logits: Tensor, log_theta: Tensor, library: Tensor, block: CsrBlock, rows: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Return the log-likelihood summed over cells (with gradients) and each cell's (without).

    Parameters
    ----------
    logits
        `(n_cells, n_genes)` float32 on the CPU; frequencies are their softmax.
    log_theta
        Log inverse dispersions, `(n_rows, n_genes)`.
    library
        Total counts, `(n_cells,)`.
    block
        The counts.
    rows
        Row of `log_theta` that each cell uses, `(n_cells,)` int64.

    Returns
    -------
    A scalar and `(n_cells,)`, in nats.
    """
    return _NegativeBinomial.apply(logits.contiguous(), log_theta, library, block, rows)


def _tables(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log Gamma(theta + k) - log Gamma(theta) and the same of digamma, k = 0..8; `(n_rows, n_genes, 9)`."""
    shifted = theta[..., None] + np.arange(_TABLE - 1)
    gamma = np.zeros((*theta.shape, _TABLE))
    psi = np.zeros((*theta.shape, _TABLE))
    np.cumsum(np.log(shifted), axis=-1, out=gamma[..., 1:])
    np.cumsum(1.0 / shifted, axis=-1, out=psi[..., 1:])
    return gamma, psi


@numba.njit(error_model="numpy", cache=True)
def _stirling(y):
    """Return log Gamma(y) and digamma(y) for y >= 8, errors below 1e-9 (Abramowitz and Stegun 6.1.41, 6.3.18)."""
    r = 1.0 / y
    r2 = r * r
    log_y = math.log(y)
    gamma = (y - 0.5) * log_y - y + 0.9189385332046727 + r * (1 / 12 - r2 * (1 / 360 - r2 * (1 / 1260 - r2 / 1680)))
    psi = log_y - 0.5 * r - r2 * (1 / 12 - r2 * (1 / 120 - r2 * (1 / 252 - r2 / 240)))
    return gamma, psi


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
def _zeros(mean, inverse_theta, theta, value, slope):
    """Write each gene's log-likelihood of a zero and its slope in log theta, theta (-log1p(u) + u / (1 + u))."""
    for k in range(len(mean)):
        u = mean[k] * inverse_theta[k]
        log1p = log1p32(u)
        value[k] = -theta[k] * log1p
        # the difference cancels for small u (near-Poisson genes): there a series
        series = u * u * (np.float32(-0.5) + u * (np.float32(2 / 3) + u * (np.float32(-0.75) + u * np.float32(0.8))))
        exact = u / (np.float32(1.0) + u) - log1p
        slope[k] = theta[k] * (series if u < np.float32(0.02) else exact)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _residuals(mean, inverse_theta, out):
    """Write mu d/dmu of the log-likelihood of a zero, -mu / (1 + u)."""
    for k in range(len(mean)):
        out[k] = -mean[k] / (np.float32(1.0) + mean[k] * inverse_theta[k])


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _accumulate(total, values):
    for k in range(len(values)):
        total[k] += values[k]


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _scale(values, factor, out):
    for k in range(len(values)):
        out[k] = values[k] * factor


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _subtract(out, mean, factor):
    for k in range(len(out)):
        out[k] -= mean[k] * factor


@numba.njit(error_model="numpy", cache=True)
def _forward(
    logits, theta32, theta, gamma, psi, library, rows, indptr, indices, data, factorials, gradient, value, theta_gradient
):  # fmt: skip
    n_cells, n_genes = logits.shape
    inverse = (1.0 / theta).astype(np.float32)
    mean = np.empty(n_genes, dtype=np.float32)
    part = np.empty(n_genes, dtype=np.float32)
    slope = np.empty(n_genes, dtype=np.float32)
    for i in range(n_cells):
        r = rows[i]
        _exponentials(logits[i], _row_max(logits[i]), mean)
        _scale(mean, library[i] / _sum(mean), mean)
        _zeros(mean, inverse[r], theta32[r], part, slope)
        out = gradient[i]
        _residuals(mean, inverse[r], out)
        total = np.float64(_sum(part))
        residual = np.float64(_sum(out))
        _accumulate(theta_gradient[r], slope)
        for k in range(indptr[i], indptr[i + 1]):
            x = np.float64(data[k])
            if x <= 0.0:
                continue
            g = indices[k]
            t = theta[r, g]
            mu = max(np.float64(mean[g]), 1e-30)
            if x < 8.5:
                gamma_difference, psi_difference = gamma[r, g, int(x)], psi[r, g, int(x)]
            else:
                # from theta + 8 on, Stirling holds for every theta
                high, psi_high = _stirling(x + t)
                low, psi_low = _stirling(8.0 + t)
                gamma_difference = gamma[r, g, 8] + high - low
                psi_difference = psi[r, g, 8] + psi_high - psi_low
            factorial = factorials[int(x)] if x < 1023.5 else math.lgamma(x + 1.0)
            total += x * math.log(mu / (t + mu)) + gamma_difference - factorial
            push = x * t / (t + mu)
            out[g] += np.float32(push)
            residual += push
            theta_gradient[r, g] += t * (psi_difference - x / (t + mu))
        # softmax: subtract each frequency's share of the sum
        _subtract(out, mean, np.float32(residual / library[i]))
        value[i] = total
