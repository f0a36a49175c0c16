"""Optional terms of the objective."""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from qbmvae.core.fused.elementary import FAST


class _BatchMeanGap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, code, batch):
        if code.device.type == "cpu":
            total, found = gaps(code.detach().numpy(), batch.numpy())
            value, own = torch.tensor(total, dtype=code.dtype), torch.from_numpy(found)
        else:
            counts = torch.bincount(batch)
            sums = torch.zeros(len(counts), code.shape[1], dtype=code.dtype, device=code.device)
            sums.index_add_(0, batch, code)
            own = sums / counts.clamp(min=1).unsqueeze(-1) - sums.sum(0) / len(batch)
            value = (counts.to(code) @ own.square()).sum() / len(batch)
        ctx.save_for_backward(own, batch)
        return value

    @staticmethod
    def backward(ctx, grad):
        # the gaps' weighted mean is zero: what remains is each cell's own batch
        own, batch = ctx.saved_tensors
        return (own * (2 * grad / len(batch)))[batch], None


def batch_mean_gap(code: Tensor, batch: Tensor) -> Tensor:
    """Return sum_b share_b * ||mean code of batch b - mean code||^2 (a linear MMD), scalar."""
    return _BatchMeanGap.apply(code.contiguous(), batch)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def gaps(code, batch):
    """Return the penalty of `batch_mean_gap`, and each batch's mean code less the mean of all, `(n_batches, n_latent)`."""
    n, width = code.shape
    sizes = np.zeros(max(batch) + 1, dtype=np.int64)
    own, mean = np.zeros((len(sizes), width), dtype=code.dtype), np.zeros(width)
    for i in range(n):
        sizes[batch[i]] += 1
        row, values = own[batch[i]], code[i]
        for j in range(width):
            row[j] += values[j]
    for b in range(len(sizes)):
        for j in range(width):
            mean[j] += own[b, j] / n
    total = 0.0
    for b in range(len(sizes)):
        for j in range(width):
            # a batch without cells here has no mean and no weight
            own[b, j] = own[b, j] / sizes[b] - mean[j] if sizes[b] > 0 else 0.0
            total += own[b, j] * own[b, j] * sizes[b] / n
    return total, own
