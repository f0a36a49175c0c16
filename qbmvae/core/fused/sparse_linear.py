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
from qbmvae.core.fused.elementary import FAST


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


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def multiply_rows(indptr, indices, data, weight, out):
    """Write block @ weight to `out`, `(n_rows, n_out)`."""
    for i in range(len(indptr) - 1):
        row = out[i]
        row[:] = np.float32(0.0)
        first, last = indptr[i], indptr[i + 1]
        eights = first + (last - first) // 8 * 8
        # eight at a time: the sums are read and written an eighth as often; unsigned: no test for indices from the end
        for k in range(first, eights, 8):
            a, b, c, d = data[k], data[k + 1], data[k + 2], data[k + 3]
            e, f, g, h = data[k + 4], data[k + 5], data[k + 6], data[k + 7]
            one, two = weight[np.uint32(indices[k])], weight[np.uint32(indices[k + 1])]
            three, four = weight[np.uint32(indices[k + 2])], weight[np.uint32(indices[k + 3])]
            five, six = weight[np.uint32(indices[k + 4])], weight[np.uint32(indices[k + 5])]
            seven, eight = weight[np.uint32(indices[k + 6])], weight[np.uint32(indices[k + 7])]
            for j in range(len(row)):
                # one chain of multiply-adds
                row[j] = (
                    row[j] + a * one[j] + b * two[j] + c * three[j] + d * four[j]
                    + e * five[j] + f * six[j] + g * seven[j] + h * eight[j]
                )  # fmt: skip
        for k in range(eights, last):
            value, column = data[k], weight[indices[k]]
            for j in range(len(row)):
                row[j] += value * column[j]


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def accumulate_rows(indptr, indices, data, grad, out):
    """Add block.T @ grad to `out`, `(n_in, n_out)`."""
    for i in range(len(indptr) - 1):
        row = grad[i]
        for k in range(indptr[i], indptr[i + 1]):
            value, column = data[k], out[indices[k]]
            for j in range(len(row)):
                column[j] += value * row[j]
