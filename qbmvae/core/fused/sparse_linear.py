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

from qbmvae.core.csr import CsrBlock

_FAST = {"contract", "nnan", "ninf", "nsz", "arcp"}


class _SparseLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weight, block):
        out = torch.empty(len(block), weight.shape[1])
        multiply_rows(block.indptr, block.indices, block.data, weight.detach().numpy(), out.numpy())
        ctx.block, ctx.shape = block, weight.shape
        return out

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


@numba.njit(fastmath=_FAST, cache=True)
def multiply_rows(indptr, indices, data, weight, out):
    """Write block @ weight to `out`, `(n_rows, n_out)`."""
    for i in range(len(indptr) - 1):
        row = out[i]
        row[:] = np.float32(0.0)
        first, last = indptr[i], indptr[i + 1]
        fours = first + (last - first) // 4 * 4
        # four at a time: the sums are read and written a quarter as often
        for k in range(first, fours, 4):
            a, b, c, d = data[k], data[k + 1], data[k + 2], data[k + 3]
            one, two, three, four = (
                weight[indices[k]],
                weight[indices[k + 1]],
                weight[indices[k + 2]],
                weight[indices[k + 3]],
            )
            for j in range(len(row)):
                row[j] += (a * one[j] + b * two[j]) + (c * three[j] + d * four[j])
        for k in range(fours, last):
            value, column = data[k], weight[indices[k]]
            for j in range(len(row)):
                row[j] += value * column[j]


@numba.njit(fastmath=_FAST, cache=True)
def accumulate_rows(indptr, indices, data, grad, out):
    """Add block.T @ grad to `out`, `(n_in, n_out)`."""
    for i in range(len(indptr) - 1):
        row = grad[i]
        for k in range(indptr[i], indptr[i + 1]):
            value, column = data[k], out[indices[k]]
            for j in range(len(row)):
                column[j] += value * row[j]
