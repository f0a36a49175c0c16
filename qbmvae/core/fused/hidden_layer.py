"""A hidden layer while it trains: product, covariates, batch normalisation, ReLU and dropout in two passes."""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor, nn

from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused.elementary import FAST
from qbmvae.core.fused.noise import stream
from qbmvae.core.fused.sparse_linear import accumulate_rows, add_rows
from samplers.kernels.rng import LANES, fill_bits


class _HiddenLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, block, weight, table, scale, shift, design, norm, dropout):
        table, scale, shift = table.detach(), scale.detach(), shift.detach()
        if block is None:
            y = torch.mm(x.detach(), weight.detach())
        else:
            y = torch.zeros(len(block), weight.shape[1])
            add_rows(block.indptr, block.indices, block.data, weight.detach().numpy(), y.numpy())
        add_rows(design.indptr, design.indices, design.data, table.numpy(), y.numpy())
        out, inverse = torch.empty_like(y), np.empty(y.shape[1], dtype=np.float32)
        factor = np.float32(1.0 / (1.0 - dropout))
        _normalise(
            y.numpy(), scale.numpy(), shift.numpy(), np.float32(norm.eps), np.float32(norm.momentum),
            norm.running_mean.numpy(), norm.running_var.numpy(), np.uint32(dropout * 2**32), factor, stream(),
            inverse, out.numpy(),
        )  # fmt: skip
        norm.num_batches_tracked.add_(1)
        # y now holds the normalised values
        ctx.save_for_backward(y, out, weight, scale, x)
        ctx.block, ctx.design, ctx.inverse, ctx.factor, ctx.n_table = block, design, inverse, factor, len(table)
        return out

    @staticmethod
    def backward(ctx, grad):
        y, out, weight, scale, x = ctx.saved_tensors
        dy, parts = torch.empty_like(y), torch.empty(2, y.shape[1])
        _normalise_backward(
            grad.contiguous().numpy(), y.numpy(), out.numpy(), scale.numpy(), ctx.inverse, ctx.factor,
            dy.numpy(), parts.numpy(),
        )  # fmt: skip
        wanted = ctx.needs_input_grad
        dx = torch.mm(dy, weight.T) if wanted[0] else None
        dw = dt = None
        if wanted[2]:
            if ctx.block is None:
                dw = torch.mm(x.T, dy)
            else:
                dw = torch.zeros_like(weight)
                accumulate_rows(ctx.block.indptr, ctx.block.indices, ctx.block.data, dy.numpy(), dw.numpy())
        if wanted[3]:
            dt, design = torch.zeros(ctx.n_table, y.shape[1]), ctx.design
            accumulate_rows(design.indptr, design.indices, design.data, dy.numpy(), dt.numpy())
        return dx, None, dw, dt, parts[0], parts[1], None, None, None


def hidden_layer(
    x: Tensor | CsrBlock, weight: Tensor, table: Tensor, design: CsrBlock, norm: nn.BatchNorm1d, dropout: float
) -> Tensor:
    """Return dropout(relu(norm(x @ weight + design @ table))) in training mode, running statistics updated.

    Parameters
    ----------
    x
        Input, `(n_cells, n_in)`, float32 on the CPU: dense, or sparse rows.
    weight
        `(n_in, n_out)`.
    table, design
        Bias and covariates, see `ConditionalLinear.table` and `Covariates.design`.
    norm
        The normalisation, with a momentum.
    dropout
        Dropout rate.
    """
    dense, block = (None, x) if isinstance(x, CsrBlock) else (x.contiguous(), None)
    return _HiddenLayer.apply(dense, block, weight, table, norm.weight, norm.bias, design, norm, dropout)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _normalise(
    y, scale, shift, eps, momentum, running_mean, running_var, threshold, factor, streams, inverse, out
):  # fmt: skip
    n, width = y.shape
    # columns side by side: sums over cells run along the fast axis
    mean, variance = np.zeros(width), np.zeros(width)
    for i in range(n):
        for j in range(width):
            mean[j] += np.float64(y[i, j])
    for j in range(width):
        mean[j] /= n
    middle = mean.astype(np.float32)
    for i in range(n):
        for j in range(width):
            off = np.float64(y[i, j]) - mean[j]
            variance[j] += off * off
    for j in range(width):
        variance[j] /= n
        inverse[j] = np.float32(1.0 / np.sqrt(variance[j] + np.float64(eps)))
        running_mean[j] += momentum * (middle[j] - running_mean[j])
        running_var[j] += momentum * (np.float32(variance[j] * n / (n - 1)) - running_var[j])
    bits = np.empty(LANES, dtype=np.uint32)
    zero = np.float32(0.0)
    for i in range(n):
        row, target = y[i], out[i]
        for j in range(width):
            row[j] = (row[j] - middle[j]) * inverse[j]
            target[j] = max(row[j] * scale[j] + shift[j], zero) * factor
        if threshold > 0:
            for first in range(0, width, LANES):
                fill_bits(streams, bits)
                for lane in range(min(LANES, width - first)):
                    target[first + lane] *= np.float32(bits[lane] >= threshold)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _normalise_backward(grad, normalised, out, scale, inverse, factor, dy, parts):
    n, width = grad.shape
    along, total = np.zeros(width), np.zeros(width)
    zero = np.float32(0.0)
    for i in range(n):
        g, x, o, d = grad[i], normalised[i], out[i], dy[i]
        for j in range(width):
            d[j] = g[j] * factor if o[j] > zero else zero
        for j in range(width):
            total[j] += np.float64(d[j])
            along[j] += np.float64(d[j] * x[j])
    mean, slope = (total / n).astype(np.float32), (along / n).astype(np.float32)
    for j in range(width):
        parts[0, j], parts[1, j] = along[j], total[j]
    for i in range(n):
        x, d = normalised[i], dy[i]
        for j in range(width):
            d[j] = (d[j] - mean[j] - x[j] * slope[j]) * scale[j] * inverse[j]
