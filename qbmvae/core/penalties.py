"""Optional terms of the objective."""

from __future__ import annotations

import torch
from torch import Tensor


class _BatchMeanGap(torch.autograd.Function):
    @staticmethod
    def forward(ctx, code, batch):
        sizes = torch.bincount(batch)
        sums = torch.zeros(len(sizes), code.shape[1], dtype=code.dtype, device=code.device).index_add_(0, batch, code)
        gaps = sums / sizes.clamp(min=1).unsqueeze(-1) - sums.sum(0) / len(batch)
        ctx.save_for_backward(gaps, batch)
        return (sizes.to(code) @ gaps.square()).sum() / len(batch)

    @staticmethod
    def backward(ctx, grad):
        # the gaps' weighted mean is zero: what remains is each cell's own batch
        gaps, batch = ctx.saved_tensors
        return (gaps * (2 * grad / len(batch)))[batch], None


def batch_mean_gap(code: Tensor, batch: Tensor) -> Tensor:
    """Return sum_b share_b * ||mean code of batch b - mean code||^2 (a linear MMD), scalar."""
    return _BatchMeanGap.apply(code, batch)
