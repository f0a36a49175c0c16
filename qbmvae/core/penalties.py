"""Optional terms of the objective."""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from qbmvae.core.fused.elementary import FAST


def forward(code: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Return the penalty of `batch_mean_gap` and each batch's mean code less the mean of all; no autograd."""
    if code.device.type == "cpu":
        sizes = np.bincount(batch.numpy())
        gaps = torch.zeros(len(sizes), code.shape[1], dtype=code.dtype)
        return torch.tensor(_gaps(code.numpy(), batch.numpy(), sizes, gaps.numpy()), dtype=code.dtype), gaps
    counts = torch.bincount(batch)
    sums = torch.zeros(len(counts), code.shape[1], dtype=code.dtype, device=code.device)
    sums.index_add_(0, batch, code)
    gaps = sums / counts.clamp(min=1).unsqueeze(-1) - sums.sum(0) / len(batch)
    return (counts.to(code) @ gaps.square()).sum() / len(batch), gaps


def backward(grad: Tensor | float, gaps: Tensor, batch: Tensor) -> Tensor:
    """Return the gradient of the code."""
    # the gaps' weighted mean is zero: what remains is each cell's own batch
    return (gaps * (2 * grad / len(batch)))[batch]


class _BatchMeanGap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, code, batch):
        value, gaps = forward(code.detach(), batch)
        ctx.save_for_backward(gaps, batch)
        return value

    @staticmethod
    def backward(ctx, grad):
        return backward(grad, *ctx.saved_tensors), None


def batch_mean_gap(code: Tensor, batch: Tensor) -> Tensor:
    """Return sum_b share_b * ||mean code of batch b - mean code||^2 (a linear MMD), scalar."""
    return _BatchMeanGap.apply(code.contiguous(), batch)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _gaps(code, batch, sizes, gaps):
    """Write each batch's mean code less the mean of all, and return the penalty."""
    n, width = code.shape
    mean = np.zeros(width)
    for i in range(n):
        row, own = gaps[batch[i]], code[i]
        for j in range(width):
            row[j] += own[j]
    for b in range(len(sizes)):
        for j in range(width):
            mean[j] += gaps[b, j] / n
    total = 0.0
    for b in range(len(sizes)):
        for j in range(width):
            # a batch without cells here has no mean and no weight
            gaps[b, j] = gaps[b, j] / sizes[b] - mean[j] if sizes[b] > 0 else 0.0
            total += gaps[b, j] * gaps[b, j] * sizes[b] / n
    return total
