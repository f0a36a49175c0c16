"""A quadratic Boltzmann prior's part of a step: the negative phase's moments, KL, and the gradients of prior and logits."""

from __future__ import annotations

import numba
import numpy as np

from qbmvae.core.fused.elementary import FAST, exp32

#: Rows and columns of a matrix that are transposed at once.
_TILE = 32


@numba.njit(error_model="numpy", cache=True)
def bits_of(states, z):
    """Write spins -1/+1 as bits 0/1."""
    for i in range(len(states)):
        row, out = states[i], z[i]
        for j in range(len(row)):
            out[j] = np.float32(row[j] > 0)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def conditional_means(pushed, bias, weights, first):
    """Replace z W by the weighted conditional means w sigmoid(b + z W), `(n_reads, n_latent)`; write their sum.

    Parameters
    ----------
    pushed
        Z W of each read, `(n_reads, n_latent)`; written.
    bias
        `(n_latent,)`.
    weights
        Of the reads, `(n_reads,)`.
    first
        Sum over reads, `(n_latent,)`; written.
    """
    one = np.float32(1.0)
    first[:] = np.float32(0.0)
    for i in range(len(pushed)):
        row, w = pushed[i], np.float32(weights[i])
        for j in range(len(row)):
            row[j] = w / (one + exp32(-(row[j] + bias[j])))
        for j in range(len(row)):
            first[j] += row[j]


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def code_gradient(
    logits, slope, q, pushed, bias, entropy, grad_spins, gaps, batch, share, pull, out, grad_bias
):  # fmt: skip
    """Return the sum of KLs without log Z, and write what bits, KL and batch matching push back to logits and fields.

    Parameters
    ----------
    logits, slope, q, entropy
        Of `bits.forward`.
    pushed, bias
        q W, `(n_cells, n_latent)`, and the fields.
    grad_spins
        Gradient of the spins, of which `slope` is the derivative.
    gaps, batch
        Each batch's mean code less the mean of all, and each cell's batch.
    share, pull
        Gradients of each KL, and of the gaps: a cell's code is pulled by `pull * gaps[batch]`.
    out, grad_bias
        Written: `(n_cells, n_latent)`, `(n_latent,)`.
    """
    one, half = np.float32(1.0), np.float32(0.5)
    terms = np.empty(len(bias), dtype=np.float32)
    grad_bias[:] = np.float32(0.0)
    total = 0.0
    for i in range(len(q)):
        a, s, p, w, gs, gap, o = logits[i], slope[i], q[i], pushed[i], grad_spins[i], gaps[batch[i]], out[i]
        for j in range(len(p)):
            grad = pull * gap[j] - share * (bias[j] + w[j] - a[j])
            o[j] = gs[j] * s[j] + grad * p[j] * (one - p[j])
        for j in range(len(p)):
            terms[j] = p[j] * (bias[j] + half * w[j])
            grad_bias[j] -= share * p[j]
        total -= np.float64(entropy[i])
        for j in range(len(p)):
            total -= np.float64(terms[j])
    return total


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def prior_gradient(first, second, squares, share, kl_weight, bias, W, mask, grad_bias, grad_W):
    """Add the negative phase to the fields' gradient, write that of the couplings, return the surrogate of log Z.

    Parameters
    ----------
    first, second
        Moments of the negative phase, see `BoltzmannPrior.moments`.
    squares
        q'q of the minibatch, `(n_latent, n_latent)`.
    share, kl_weight
        Gradients of each cell's KL and of log Z.
    bias, W, mask
        The prior.
    grad_bias, grad_W
        Written; the couplings' gradient symmetric and masked.
    """
    n = len(bias)
    down, up = np.float32(-0.25) * share, np.float32(0.25) * kl_weight
    total = 0.0
    for j in range(n):
        grad_bias[j] += kl_weight * first[j]
        total += np.float64(bias[j] * first[j])
    for top in range(0, n, _TILE):
        for left in range(0, n, _TILE):
            for i in range(top, min(top + _TILE, n)):
                for j in range(left, min(left + _TILE, n)):
                    pair = up * (second[i, j] + second[j, i]) + down * (squares[i, j] + squares[j, i])
                    grad_W[i, j] = pair * np.float32(mask[i, j])
                    total += 0.5 * np.float64(W[i, j] * second[i, j])
    return total


# what is not finite must stay so
@numba.njit(error_model="numpy", fastmath={"reassoc", "contract", "nsz"}, cache=True)
def ising(bias, W, J, h):
    """Write couplings and fields over spins of the symmetric part of W, in float64, and return the constant.

    The constant is not finite where anything is not, or where a bit is coupled to itself.

    Parameters
    ----------
    bias, W
        Of the prior.
    J, h
        `(n, n)` and `(n,)` float64; written.
    """
    n = len(bias)
    offset = 0.0
    for top in range(0, n, _TILE):
        for left in range(0, n, _TILE):
            for i in range(top, min(top + _TILE, n)):
                for j in range(left, min(left + _TILE, n)):
                    # Adam rounds the two halves apart by an ulp
                    J[i, j] = -0.125 * np.float64(W[i, j] + W[j, i])
    for i in range(n):
        total = 0.0
        for j in range(n):
            total += J[i, j]
        h[i] = total - 0.5 * np.float64(bias[i])
        offset += 0.5 * total - 0.5 * np.float64(bias[i])
        if J[i, i] != 0.0:
            offset = np.nan
    return offset
