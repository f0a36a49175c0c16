"""What a backbone is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    import numpy as np
    import scipy.sparse as sp
    from anndata import AnnData

    from qbmvae.perturbation.features import Features


class Backbone(torch.nn.Module):
    """Maps basal cells and perturbation features to (batch, width).

    A subclass sets `width`, and writes `basal` (no gradient: what is computed once a cell) and `forward`.
    """

    width: int
    # True where forward depends on trainable weights that a preset may tune
    tunable: bool = False

    def basal(self, adata: AnnData, x: sp.csr_matrix | np.ndarray) -> torch.Tensor:
        """Return what `forward` takes for each cell, (n_cells, d), from the cells and their log1p-normalised expression.

        Raises
        ------
        TypeError
            Where a subclass does not write it.
        """
        raise TypeError(f"{type(self).__name__} has no basal representation")

    def forward(self, basal: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return (batch, width) from sets of cells (batch, set, d) and features (batch, n_features).

        Raises
        ------
        TypeError
            Where a subclass does not write it.
        """
        raise TypeError(f"{type(self).__name__} has no forward pass")

    def perturbation_inputs(self, features: Features, labels: Iterable[str]) -> torch.Tensor:
        """Return (n_labels, n_features) for `forward`."""
        return torch.from_numpy(features.lookup(labels))

    def linear_columns(self) -> slice:
        """Return the columns of the output that a linear start may use."""
        return slice(None)

    def gene_map(self) -> torch.Tensor | None:
        """Return the last linear map from the backbone to genes, (n_genes, k), or None where there is none."""
        return None

    def parts(self, name: str) -> list[torch.nn.Parameter]:
        """Return the weights of a tunable part by name; empty where the backbone has no such part."""
        return []

    def add_head(self, genes: list[str]) -> None:
        """Let the backbone's own prediction of these genes take part, where it makes one."""

    def spec(self) -> dict[str, Any]:
        """Return what `backbones.build` needs to rebuild the module before its weights are loaded.

        Raises
        ------
        TypeError
            Where a subclass does not write it.
        """
        raise TypeError(f"{type(self).__name__} cannot be saved")
