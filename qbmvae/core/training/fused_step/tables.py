"""Gathers bias and covariate rows of all layers into one table, and scatters the table's gradient back."""

from __future__ import annotations

import numba
import numpy as np
import torch
from torch import Tensor

from qbmvae.core.fused.elementary import FAST
from qbmvae.core.networks import ConditionalLinear
from qbmvae.core.training.fused_step.pointers import Held, floats


class Tables:
    """Fills the tables of layers, see `ConditionalLinear.table`, and returns their gradients to the parameters.

    The parameters' gradients are views of the tables' gradients, but for the bias, which rides on the first covariate's
    rows and is their sum.

    Parameters
    ----------
    layers
        The layers; what is read and written is the memory that their parameters have now.
    tables
        For each layer a table and the place of its gradient, `(n_rows, n_out)` each.

    Attributes
    ----------
    parameters
        Each parameter but the weights, with its gradient.
    """

    def __init__(self, layers: list[ConditionalLinear], tables: list[tuple[Tensor, Tensor]]):
        # memory used by its address must stay alive
        self._kept = [tables, *(Held(layer) for layer in layers)]
        self.parameters: list[tuple[Tensor, Tensor]] = []
        parts, biases = [], []
        for layer, (table, gradient) in zip(layers, tables, strict=True):
            width = len(layer.bias)
            bias = torch.empty_like(layer.bias, requires_grad=False)
            self.parameters.append((layer.bias, bias))
            biases.append((gradient.data_ptr(), bias.data_ptr(), layer.n_biased, width))
            sources, start = [r for r in layer.rows if len(r) > 1], 0
            if not sources:
                parts.append((table.data_ptr(), layer.bias.data_ptr(), 0, 1, width))
                start = 1
            for k, source in enumerate([*sources, *([] if layer.slopes is None else [layer.slopes])]):
                add = layer.bias.data_ptr() if k == 0 and sources else 0
                parts.append((table[start:].data_ptr(), source.data_ptr(), add, len(source), width))
                self.parameters.append((source, gradient[start : start + len(source)]))
                start += len(source)
        self._parts, self._biases = np.array(parts, dtype=np.int64), np.array(biases, dtype=np.int64)

    def fill(self) -> None:
        """Write the tables of the parameters as they are."""
        _fill(self._parts)

    def sum_biases(self) -> None:
        """Write the biases' gradients."""
        _sum(self._biases)


@numba.njit(fastmath=FAST, cache=True)
def _fill(parts):
    for k in range(len(parts)):
        target, source, added, rows, width = parts[k]
        for r in range(rows):
            out, row = floats(target + 4 * r * width, width), floats(source + 4 * r * width, width)
            if added:
                bias = floats(added, width)
                for j in range(width):
                    out[j] = row[j] + bias[j]
            else:
                out[:] = row


@numba.njit(fastmath=FAST, cache=True)
def _sum(parts):
    for k in range(len(parts)):
        source, target, rows, width = parts[k]
        out = floats(target, width)
        out[:] = np.float32(0.0)
        for r in range(rows):
            row = floats(source + 4 * r * width, width)
            for j in range(width):
                out[j] += row[j]
