"""Straight-through bits of a Bernoulli posterior, with its probabilities and entropy: one pass over the logits."""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from qbmvae.core.fused.elementary import FAST, exp32, log1p32, log32
from qbmvae.core.fused.noise import stream
from samplers.kernels.rng import LANES, fill_bits, uniform


def forward(
    logits: Tensor, temperature: float, streams: np.ndarray, off: float = 0.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return bits, probabilities, entropies and the slope of the relaxation; no autograd.

    `streams` is what `noise.stream` returns; bits are 1 or `off`: -1 makes them spins.

    Parameters
    ----------
    logits
        `(n_cells, n_latent)` float32.
    temperature
        Of the relaxation.
    streams
        What `noise.stream` returns.
    off
        Value of a bit that is off: -1 makes them spins.
    """
    bits, slope, q = torch.empty_like(logits), torch.empty_like(logits), torch.empty_like(logits)
    entropy = torch.empty(len(logits))
    _forward(
        logits.numpy(),
        np.float32(1.0 / temperature),
        np.float32(off),
        streams,
        bits.numpy(),
        slope.numpy(),
        q.numpy(),
        entropy.numpy(),
    )
    return bits, q, entropy, slope


def backward(
    logits: Tensor, slope: Tensor, q: Tensor, grad_bits: Tensor, grad_q: Tensor, grad_entropy: Tensor
) -> Tensor:
    """Return the gradient of the logits from those of bits, probabilities and entropies.

    Parameters
    ----------
    logits, slope, q
        What `forward` was given and returned.
    grad_bits, grad_q, grad_entropy
        Gradients of what `forward` returns.
    """
    out = torch.empty_like(logits)
    _backward(
        logits.numpy(), slope.numpy(), q.numpy(), grad_bits.numpy(), grad_q.numpy(), grad_entropy.numpy(), out.numpy()
    )
    return out


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, temperature):
        bits, q, entropy, slope = forward(logits.detach(), temperature, stream())
        ctx.save_for_backward(logits, slope, q)
        return bits, q, entropy

    @staticmethod
    def backward(ctx, grad_bits, grad_q, grad_entropy):
        grads = grad_bits.contiguous(), grad_q.contiguous(), grad_entropy.contiguous()
        return backward(*ctx.saved_tensors, *grads), None


def straight_through(logits: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return hard bits with the binary concrete's gradient, bit probabilities, and each cell's entropy in nats.

    Parameters
    ----------
    logits
        `(n_cells, n_latent)` float32 on the CPU.
    temperature
        Of the relaxation.

    Returns
    -------
    `(n_cells, n_latent)` twice and `(n_cells,)`; the gradients are those of `relaxations.sample`, `torch.sigmoid` and
    `priors.base.entropy`.
    """
    return _StraightThrough.apply(logits.contiguous(), temperature)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _relax(logits, noise, sharpness, off, slope, bits):
    one, half = np.float32(1.0), np.float32(0.5)
    for k in range(len(noise)):
        # away from 0 and 1, as the plain torch path clamps
        u = min(max(noise[k], np.float32(1e-6)), np.float32(1.0 - 1e-6))
        soft = one / (one + exp32(-sharpness * (logits[k] + log32(u / (one - u)))))
        slope[k] = (one - off) * sharpness * soft * (one - soft)
        bits[k] = one if soft > half else off


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _probabilities(logits, q, terms):
    one, zero = np.float32(1.0), np.float32(0.0)
    for k in range(len(logits)):
        a = logits[k]
        e = exp32(-abs(a))
        p = one / (one + e)
        q[k] = p if a >= zero else e * p
        # softplus(a) - a q, with |a|: the entropy is even in a
        terms[k] = log1p32(e) + abs(a) * (e / (one + e))


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _forward(logits, sharpness, off, streams, bits, slope, q, entropy):
    n, width = logits.shape
    words = np.empty(LANES, dtype=np.uint32)
    noise = np.empty(width, dtype=np.float32)
    terms = np.empty(width, dtype=np.float32)
    for i in range(n):
        for first in range(0, width, LANES):
            fill_bits(streams, words)
            for lane in range(min(LANES, width - first)):
                noise[first + lane] = uniform(words[lane])
        _relax(logits[i], noise, sharpness, off, slope[i], bits[i])
        _probabilities(logits[i], q[i], terms)
        total = 0.0
        for j in range(width):
            total += np.float64(terms[j])
        entropy[i] = total


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _backward(logits, slope, q, grad_bits, grad_q, grad_entropy, out):
    n, width = logits.shape
    one = np.float32(1.0)
    for i in range(n):
        a, s, p, gb, gq, o, ge = logits[i], slope[i], q[i], grad_bits[i], grad_q[i], out[i], grad_entropy[i]
        for j in range(width):
            o[j] = gb[j] * s[j] + (gq[j] - ge * a[j]) * p[j] * (one - p[j])
