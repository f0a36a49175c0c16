"""A linear layer whose input is a block of sparse rows."""

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
        out = np.zeros((len(block), weight.shape[1]), dtype=np.float32)
        _multiply(block.indptr, block.indices, block.data, weight.detach().numpy(), out)
        ctx.block, ctx.shape = block, weight.shape
        return torch.from_numpy(out)

    @staticmethod
    def backward(ctx, grad):
        block = ctx.block
        gradient = np.zeros(ctx.shape, dtype=np.float32)
        _accumulate(block.indptr, block.indices, block.data, grad.contiguous().numpy(), gradient)
        return torch.from_numpy(gradient), None


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
def _multiply(indptr, indices, data, weight, out):
    for i in range(len(indptr) - 1):
        row = out[i]
        for k in range(indptr[i], indptr[i + 1]):
            value, column = data[k], weight[indices[k]]
            for j in range(len(row)):
                row[j] += value * column[j]


@numba.njit(fastmath=_FAST, cache=True)
def _accumulate(indptr, indices, data, grad, out):
    for i in range(len(indptr) - 1):
        row = grad[i]
        for k in range(indptr[i], indptr[i + 1]):
            value, column = data[k], out[indices[k]]
            for j in range(len(row)):
                column[j] += value * row[j]
