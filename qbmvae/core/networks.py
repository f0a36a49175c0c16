"""Encoder and decoder: multilayer perceptrons whose every layer takes the covariates."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused.sparse_linear import sparse_linear


@dataclass
class Covariates:
    """What a layer is told beside its input.

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
        total, bias_is_in = self.bias, False
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

    def forward(self, x: Tensor | CsrBlock, covariates: Covariates) -> Tensor:
        """Return `(n_cells, n_out)`."""
        shift = self.shift(covariates)
        if isinstance(x, CsrBlock):
            return sparse_linear(x, self.weight) + shift
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
            x = self.dropout(F.relu(norm(layer(x, covariates))))
        return x


def _norm(kind: str, width: int) -> nn.Module:
    if kind == "batch":
        # scvi-tools' settings
        return nn.BatchNorm1d(width, momentum=0.01, eps=0.001)
    return nn.LayerNorm(width) if kind == "layer" else nn.Identity()
