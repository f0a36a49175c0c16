"""Encoder and decoder: multilayer perceptrons whose every layer takes the covariates."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused.hidden_layer import hidden_layer, rectify
from qbmvae.core.fused.products import linear, mm
from qbmvae.core.fused.sparse_linear import multiply_rows, sparse_linear


@functools.lru_cache(maxsize=16)
def _ones(n: int, width: int) -> np.ndarray:
    return np.ones((n, width), dtype=np.float32)


@functools.lru_cache(maxsize=16)
def _edges(n: int, width: int) -> np.ndarray:
    return np.arange(n + 1, dtype=np.int64) * width


@dataclass
class Covariates:
    """What a layer receives besides its input.

    Attributes
    ----------
    categories
        One integer code a cell for each categorical covariate, the batch first; `(n_cells,)` each.
    continuous
        `(n_cells, n_continuous)`, or None.
    averaged
        Number of leading categories of each covariate whose average stands in the place of codes; only in evaluation.
    """

    categories: tuple[Tensor, ...]
    continuous: Tensor | None = None
    averaged: tuple[int, ...] = ()
    _designs: dict[tuple[int, ...], CsrBlock] = field(default_factory=dict, repr=False, compare=False)

    def rows(self, rows: slice) -> Covariates:
        """Return the covariates of some of the cells."""
        continuous = None if self.continuous is None else self.continuous[rows]
        return Covariates(tuple(codes[rows] for codes in self.categories), continuous, self.averaged)

    def design(self, sizes: tuple[int, ...], n_continuous: int, n_cells: int) -> CsrBlock:
        """Return one sparse row a cell that picks its rows of `ConditionalLinear.table`.

        Parameters
        ----------
        sizes
            Number of categories of each covariate that the layer was given.
        n_continuous
            Number of continuous covariates that it was given.
        n_cells
            Number of cells.
        """
        # every layer of a network asks for the same
        key = (*sizes, n_continuous, n_cells)
        if key not in self._designs:
            picked, width = [(size, codes) for size, codes in zip(sizes, self.categories, strict=False) if size > 1], 0
            extra = 0 if self.continuous is None else n_continuous
            columns = np.zeros((n_cells, max(1, len(picked)) + extra), dtype=np.int32)
            for k, (size, codes) in enumerate(picked):
                np.add(codes.numpy(), width, out=columns[:, k], casting="same_kind")
                width += size
            width = max(1, width)
            values = _ones(*columns.shape)
            if extra and self.continuous is not None:
                columns[:, -extra:] = np.arange(width, width + extra)
                values = values.copy()
                values[:, -extra:] = self.continuous.numpy()
            self._designs[key] = CsrBlock(_edges(*columns.shape), columns.ravel(), values.ravel(), width + extra)
        return self._designs[key]

    def with_batch(self, batch: Tensor) -> Covariates:
        """Return the same covariates with another batch."""
        return Covariates((batch, *self.categories[1:]), self.continuous)


class ConditionalLinear(nn.Module):
    """A linear layer plus one learned row a category: a one-hot covariate without the one-hot product.

    Parameters
    ----------
    n_in, n_out
        Widths.
    n_categories
        Number of categories of each categorical covariate.
    n_continuous
        Number of continuous covariates.
    """

    def __init__(self, n_in: int, n_out: int, n_categories: Sequence[int] = (), n_continuous: int = 0):
        super().__init__()
        # (n_in, n_out): a sparse input then reads and writes whole rows
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_out))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -(n_in**-0.5), n_in**-0.5)
        # a covariate of one category says nothing
        self.rows = nn.ParameterList([nn.Parameter(torch.zeros(n, n_out)) for n in n_categories])
        self.slopes = nn.Parameter(torch.zeros(n_continuous, n_out)) if n_continuous else None

    def shift(self, covariates: Covariates) -> Tensor:
        """Return bias and covariates' share of each output, `(n_cells, n_out)` or broadcast from `(n_out,)`."""
        if covariates.averaged:
            return self.bias + sum(rows[:n].mean(0) for rows, n in zip(self.rows, covariates.averaged, strict=True))
        total: Tensor = self.bias
        bias_is_in = False
        for rows, codes in zip(self.rows, covariates.categories, strict=False):
            if len(rows) == 1:
                continue
            # the bias rides on the first covariate's few rows instead of on every cell
            looked_up = F.embedding(codes, rows if bias_is_in else rows + self.bias)
            total = total + looked_up if bias_is_in else looked_up
            bias_is_in = True
        if self.slopes is not None and covariates.continuous is not None:
            total = torch.addmm(total, covariates.continuous, self.slopes)
        return total

    def table(self) -> Tensor:
        """Return bias and covariates' rows as one table, `(n_rows, n_out)`; a cell's shift is its design @ table."""
        rows = [r for r in self.rows if len(r) > 1]
        parts = [rows[0] + self.bias, *rows[1:]] if rows else [self.bias.unsqueeze(0)]
        if self.slopes is not None:
            parts.append(self.slopes)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    @property
    def n_biased(self) -> int:
        """Leading rows of the table that hold the bias."""
        return next((len(r) for r in self.rows if len(r) > 1), 1)

    def design(self, covariates: Covariates, n_cells: int) -> CsrBlock:
        """Return which rows of the table each cell adds up, `(n_cells, n_rows)`."""
        n_continuous = 0 if self.slopes is None else len(self.slopes)
        return covariates.design(tuple(map(len, self.rows)), n_continuous, n_cells)

    def forward(self, x: Tensor | CsrBlock, covariates: Covariates) -> Tensor:
        """Return `(n_cells, n_out)`."""
        shift = self.shift(covariates)
        if isinstance(x, CsrBlock):
            return sparse_linear(x, self.weight) + shift
        if not torch.is_grad_enabled():
            return mm(x, self.weight).add_(shift)
        return torch.addmm(shift, x, self.weight)


class Hidden(nn.Module):
    """Hidden layers: conditional linear, normalisation, ReLU, dropout.

    Parameters
    ----------
    n_in
        Input width.
    n_hidden, n_layers
        Width and number of hidden layers.
    n_categories, n_continuous
        Covariates injected into every layer.
    dropout_rate
        Dropout after each layer.
    normalisation
        "batch", "layer" or "none".
    """

    def __init__(
        self,
        n_in: int,
        n_hidden: int,
        n_layers: int,
        n_categories: Sequence[int],
        n_continuous: int,
        dropout_rate: float,
        normalisation: str,
    ):
        super().__init__()
        widths = [n_in, *[n_hidden] * n_layers]
        self.layers = nn.ModuleList(
            ConditionalLinear(a, b, n_categories, n_continuous) for a, b in itertools.pairwise(widths)
        )
        self.norms = nn.ModuleList(_norm(normalisation, n_hidden) for _ in range(n_layers))
        self.dropout = nn.Dropout(dropout_rate)
        self.n_out = n_hidden

    def forward(self, x: Tensor | CsrBlock, covariates: Covariates) -> Tensor:
        """Return `(n_cells, n_hidden)`."""
        for layer, norm in zip(self.layers, self.norms, strict=True):
            assert isinstance(layer, ConditionalLinear)
            # the fused layer knows batch normalisation in training on the CPU only
            if isinstance(norm, nn.BatchNorm1d) and self.training and len(x) > 1 and _single_on_cpu(x):
                design = layer.design(covariates, len(x))
                x = hidden_layer(x, layer.weight, layer.table(), design, norm, self.dropout.p)
            elif isinstance(norm, nn.BatchNorm1d) and not self.training and not torch.is_grad_enabled():
                x = _normalised_by_what_it_has_seen(x, layer, norm, covariates)
            else:
                x = self.dropout(F.relu(norm(layer(x, covariates))))
        assert isinstance(x, Tensor)
        return x


@contextmanager
def statistics_kept(*networks: nn.Module) -> Iterator[None]:
    """Let networks in training normalise a batch of what are no data by its own statistics, without remembering them."""
    norms = [module for network in networks for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _normalised_by_what_it_has_seen(
    x: Tensor | CsrBlock, layer: ConditionalLinear, norm: nn.BatchNorm1d, covariates: Covariates
) -> Tensor:
    """Return relu(norm(layer(x))) with the running statistics, the normalisation folded into the product."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    offset = norm.bias - norm.running_mean * scale
    alike = covariates.averaged or len(layer.table()) == 1
    if not isinstance(x, CsrBlock) and (alike or not _single_on_cpu(x)):
        return linear(x, layer.weight * scale, torch.addcmul(offset, layer.shift(covariates), scale), relu=True)
    y = multiply_rows(x, layer.weight) if isinstance(x, CsrBlock) else mm(x, layer.weight)
    if alike:
        table, design = (
            torch.addcmul(offset, layer.shift(covariates), scale).unsqueeze(0),
            covariates.design((), 0, len(x)),
        )
    else:
        table, design = layer.table() * scale, layer.design(covariates, len(x))
        table[: layer.n_biased] += offset
    rectify(y.numpy(), scale.numpy(), design.indptr, design.indices, design.data, table.numpy())
    return y


def _single_on_cpu(x: Tensor | CsrBlock) -> bool:
    return isinstance(x, CsrBlock) or (x.device.type == "cpu" and x.dtype == torch.float32)


def _norm(kind: str, width: int) -> nn.Module:
    if kind == "batch":
        # scvi-tools' settings
        return nn.BatchNorm1d(width, momentum=0.01, eps=0.001)
    return nn.LayerNorm(width) if kind == "layer" else nn.Identity()
