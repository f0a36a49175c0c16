"""A hidden layer while it trains: product, covariates, batch normalisation, ReLU and dropout in two passes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from torch import Tensor, nn

from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused.elementary import FAST
from qbmvae.core.fused.noise import stream
from qbmvae.core.fused.products import mm
from qbmvae.core.fused.sparse_linear import accumulate_rows, multiply_rows
from samplers.kernels.rng import LANES, fill_bits


class Norm(NamedTuple):
    """A normalisation's arrays, which are its parameters and running statistics themselves, and its settings."""

    scale: np.ndarray
    shift: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    batches: np.ndarray
    eps: np.float32
    momentum: np.float32

    @classmethod
    def of(cls, norm: nn.BatchNorm1d) -> Norm:
        """Return those of a module."""
        tensors: list[Any] = [norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.num_batches_tracked]
        scale, shift, mean, variance, batches = (t.detach().numpy() for t in tensors)
        return cls(scale, shift, mean, variance, batches, np.float32(norm.eps), np.float32(norm.momentum or 0.0))


def forward(
    x: Tensor | CsrBlock,
    weight: Tensor,
    table: Tensor,
    design: CsrBlock,
    norm: Norm,
    dropout: float,
    streams: np.ndarray,
) -> tuple[Tensor, Tensor, np.ndarray]:
    """Return the layer's output, the normalised values and each column's inverse standard deviation; no autograd.

    Parameters are those of `hidden_layer`; `streams` is what `noise.stream` returns.

    Parameters
    ----------
    x, weight, table, design, norm, dropout
        As in `hidden_layer`.
    streams
        What `noise.stream` returns.
    """
    y = multiply_rows(x, weight) if isinstance(x, CsrBlock) else mm(x, weight)
    out, inverse = torch.empty_like(y), np.empty(y.shape[1], dtype=np.float32)
    _normalise(
        y.numpy(), design.indptr, design.indices, design.data, table.numpy(), *norm, np.uint32(dropout * 2**32),
        _factor(dropout), streams, inverse, out.numpy(),
    )  # fmt: skip
    # y now holds the normalised values
    return out, y, inverse


def backward(
    grad: Tensor,
    out: Tensor,
    normalised: Tensor,
    inverse: np.ndarray,
    scale: np.ndarray,
    dropout: float,
    design: CsrBlock,
    dnorm: Tensor,
    dtable: Tensor,
) -> Tensor:
    """Return the gradient of `x @ weight`; write those of the normalisation's weight and bias, `(2, n_out)`, and table.

    Parameters
    ----------
    grad
        Of the output.
    out, normalised, inverse
        What `forward` returned.
    scale
        Weight of the normalisation.
    dropout, design
        As in `forward`.
    dnorm, dtable
        Gradients of the normalisation's weight and bias, `(2, n_out)`, and of the table; written.
    """
    dy = torch.empty_like(normalised)
    _normalise_backward(
        grad.numpy(), normalised.numpy(), out.numpy(), scale, inverse, _factor(dropout),
        design.indptr, design.indices, design.data, dy.numpy(), dnorm.numpy(), dtable.numpy(),
    )  # fmt: skip
    return dy


def weight_gradient(x: Tensor | CsrBlock, dy: Tensor, out: Tensor) -> None:
    """Write the gradient of the weight, x.T @ dy.

    Parameters
    ----------
    x
        Input of the layer.
    dy
        Gradient of `x @ weight`.
    out
        `(n_in, n_out)`; written.
    """
    if isinstance(x, CsrBlock):
        accumulate_rows(x.indptr, x.indices, x.data, dy.numpy(), out.zero_().numpy())
    else:
        out.copy_(mm(x.T, dy))


def _factor(dropout: float) -> np.float32:
    return np.float32(1.0 / (1.0 - dropout))


class _HiddenLayer(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, block, weight, table, scale, shift, design, norm, dropout):
        own = x.detach() if block is None else block
        out, normalised, ctx.inverse = forward(
            own, weight.detach(), table.detach(), design, Norm.of(norm), dropout, stream()
        )
        ctx.save_for_backward(normalised, out, weight, scale, x)
        ctx.block, ctx.design, ctx.dropout, ctx.table_shape = block, design, dropout, table.shape
        return out

    @staticmethod
    def backward(ctx, grad):
        normalised, out, weight, scale, x = ctx.saved_tensors
        dnorm, dt, wanted = torch.empty(2, out.shape[1]), torch.empty(ctx.table_shape), ctx.needs_input_grad
        dy = backward(
            grad.contiguous(), out, normalised, ctx.inverse, scale.numpy(), ctx.dropout, ctx.design, dnorm, dt
        )
        dx = mm(dy, weight.detach().T) if wanted[0] else None
        dw = None
        if wanted[2]:
            dw = torch.empty_like(weight)
            weight_gradient(x if ctx.block is None else ctx.block, dy, dw)
        return dx, None, dw, dt, dnorm[0], dnorm[1], None, None, None


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


@numba.njit(error_model="numpy", fastmath=FAST, cache=True, nogil=True)
def rectify(y, scale, indptr, indices, data, table):
    """Replace a layer's product by relu(y * scale + design @ table), `(n_cells, n_out)`.

    Parameters
    ----------
    y
        Overwritten.
    scale
        `(n_out,)`.
    indptr, indices, data
        The design, see `Covariates.design`.
    table
        `(n_rows, n_out)`.
    """
    zero = np.float32(0.0)
    for i in range(len(y)):
        row, first = y[i], indptr[i]
        # the first row of a design has the value 1, and is the only one where there is one covariate
        added = table[indices[first]]
        for j in range(len(row)):
            row[j] = row[j] * scale[j] + added[j]
        for k in range(first + 1, indptr[i + 1]):
            value, added = data[k], table[indices[k]]
            for j in range(len(row)):
                row[j] += value * added[j]
        for j in range(len(row)):
            row[j] = max(row[j], zero)


@numba.njit(error_model="numpy", fastmath=FAST, cache=True)
def _normalise(
    y, indptr, indices, data, table, scale, shift, running_mean, running_var, count, eps, momentum, threshold, factor,
    streams, inverse, out,
):  # fmt: skip
    n, width = y.shape
    # columns side by side: sums over cells run along the fast axis
    mean, variance = np.zeros(width), np.zeros(width)
    for i in range(n):
        row = y[i]
        for k in range(indptr[i], indptr[i + 1]):
            value, added = data[k], table[indices[k]]
            for j in range(width):
                row[j] += value * added[j]
        for j in range(width):
            mean[j] += np.float64(row[j])
    for j in range(width):
        mean[j] /= n
    middle = mean.astype(np.float32)
    for i in range(n):
        for j in range(width):
            off = np.float64(y[i, j]) - mean[j]
            variance[j] += off * off
    count += 1
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
def _normalise_backward(
    grad, normalised, out, scale, inverse, factor, indptr, indices, data, dy, dnorm, dtable
):  # fmt: skip
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
        dnorm[0, j], dnorm[1, j] = along[j], total[j]
    dtable[:] = zero
    for i in range(n):
        x, d = normalised[i], dy[i]
        for j in range(width):
            d[j] = (d[j] - mean[j] - x[j] * slope[j]) * scale[j] * inverse[j]
        for k in range(indptr[i], indptr[i + 1]):
            value, added = data[k], dtable[indices[k]]
            for j in range(width):
                added[j] += value * d[j]
