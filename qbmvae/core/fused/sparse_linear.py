"""A linear layer whose input is a block of sparse rows.

Parameters
----------
indptr, indices, data
    A block of rows.
weight
    `(n_in, n_out)`.
grad
    Of the product, `(n_rows, n_out)`.
out
    Written, or added to.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused.elementary import FAST


class _SparseLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, block):
        ctx.block, ctx.shape = block, weight.shape
        return multiply_rows(block, weight.detach())

    @staticmethod
    def backward(ctx, grad):
        block = ctx.block
        gradient = torch.zeros(ctx.shape)
        accumulate_rows(block.indptr, block.indices, block.data, grad.contiguous().numpy(), gradient.numpy())
        return gradient, None


def sparse_linear(block: CsrBlock, weight: Tensor) -> Tensor:
    """Return block @ weight, `(n_rows, n_out)`; float32 on the CPU, with the gradient of the weight.

    Parameters
    ----------
    block
        Input rows.
    weight
        `(n_in, n_out)`: each input's row is contiguous.
    """
    return _SparseLinear.apply(weight, block)


def multiply_rows(block: CsrBlock, weight: Tensor) -> Tensor:
    """Return block @ weight, `(n_rows, n_out)`, without a gradient; parameters as in `sparse_linear`.

    Parameters
    ----------
    block, weight
        As in `sparse_linear`.
    """
    # weighted sums of rows: torch's kernel for embeddings fetches them ahead, MKL's sparse product takes three times as long
    edges, columns, values = (
        torch.from_numpy(np.require(a, requirements="W")) for a in (block.indptr, block.indices, block.data)
    )
    return F.embedding_bag(
        columns, weight, edges.int(), mode="sum", per_sample_weights=values, include_last_offset=True
    )


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def accumulate_rows(indptr, indices, data, grad, out):
    """Add block.T @ grad to `out`, `(n_in, n_out)`."""
    for i in range(len(indptr) - 1):
        row = grad[i]
        for k in range(indptr[i], indptr[i + 1]):
            value, column = data[k], out[indices[k]]
            for j in range(len(row)):
                column[j] += value * row[j]
