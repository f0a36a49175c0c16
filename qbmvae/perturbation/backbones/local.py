"""Backbones that need no download: none (features alone), PCA, and the embedding of our own QBM-VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch

from qbmvae.perturbation.backbones.base import Backbone
from qbmvae.perturbation.linear import principal_components

if TYPE_CHECKING:
    from anndata import AnnData


class LocalBackbone(Backbone):
    """[mean embedding of the control cells, reduced features]: the concatenation, standardised.

    Parameters
    ----------
    kind
        "none" (d = 0), "pca" or "qbmvae".
    n_genes, n_basal
        Genes of the data and width of the cells' embedding.
    n_inputs, n_features
        Width of the perturbation's features before and after reduction.
    """

    def __init__(self, kind: str, n_genes: int, n_basal: int, n_inputs: int, n_features: int):
        super().__init__()
        self.kind, self.width = kind, n_basal + n_features
        self.sizes = (n_genes, n_basal, n_inputs, n_features)
        self.embedder: Any = None
        self.register_buffer("components", torch.zeros(n_basal if kind == "pca" else 0, n_genes))
        self.register_buffer("gene_mean", torch.zeros(n_genes if kind == "pca" else 0))
        self.register_buffer("basal_mean", torch.zeros(n_basal))
        self.register_buffer("basal_scale", torch.ones(n_basal))
        self.register_buffer("feature_mean", torch.zeros(n_inputs))
        self.register_buffer("feature_map", torch.zeros(n_inputs, n_features))

    def basal(self, adata: AnnData, x: sp.csr_matrix | np.ndarray) -> torch.Tensor:
        """Return the standardised embedding of each cell, (n_cells, n_basal)."""
        if self.kind == "none":
            z = np.zeros((x.shape[0], 0), np.float32)
        elif self.kind == "pca":
            basis = self.components.numpy().T
            z = np.asarray(x @ basis) - self.gene_mean.numpy() @ basis
        else:
            z = self.embedder(adata)
        return (torch.as_tensor(np.asarray(z), dtype=torch.float32) - self.basal_mean) / self.basal_scale

    def forward(self, basal: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return (batch, n_basal + n_features)."""
        return torch.cat([basal.mean(1), (features - self.feature_mean) @ self.feature_map], dim=1)

    def linear_columns(self) -> slice:
        """Return the columns of the features."""
        return slice(self.sizes[1], None)

    def gene_map(self) -> torch.Tensor | None:
        """Return PCA's loadings, (n_genes, n_basal)."""
        return self.components.T if self.kind == "pca" else None

    def spec(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"backbone": "local", "kind": self.kind, "sizes": list(self.sizes)}

    def fit_cells(self, adata: AnnData, x: sp.csr_matrix | np.ndarray, control_rows: np.ndarray) -> None:
        """Learn the embedding from all training cells and its scale from the controls.

        Parameters
        ----------
        adata, x
            Training cells, and their log1p-normalised expression.
        control_rows
            Which of them are controls.
        """
        if self.kind == "pca":
            components, mean = principal_components(x, self.sizes[1])
            self.components, self.gene_mean = torch.from_numpy(components).float(), torch.from_numpy(mean).float()
        z = self.basal(adata[control_rows], x[control_rows])
        self.basal_mean = z.mean(0)
        self.basal_scale = z.std(0).clamp_min(1e-6) if min(z.shape) > 0 and len(z) > 1 else torch.ones(z.shape[1])

    def fit_features(self, values: np.ndarray, centre: bool = True) -> None:
        """Reduce the training perturbations' features, (n_perturbations, n_inputs), to their principal scores.

        A table of one-hot vectors (`centre` False, n_features = n_inputs) is only scaled.
        """
        n_features = self.sizes[3]
        mean = values.mean(0) if centre else np.zeros(values.shape[1])
        centred = values - mean
        if not centre:
            basis = np.eye(n_features)
        else:
            basis = np.linalg.svd(centred, full_matrices=False)[2][:n_features].T
        # one scale for all: whitening would blow up the last components
        scale = np.sqrt(((centred @ basis) ** 2).sum(0).max() / max(1, len(values) - 1)) or 1.0
        self.feature_mean = torch.from_numpy(mean).float()
        self.feature_map = torch.from_numpy(basis / scale).float()
