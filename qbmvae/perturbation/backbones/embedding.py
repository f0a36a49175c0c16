"""The embedding of cells by our own QBM-VAE, as a frozen backbone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

FILE = "backbone-qbmvae.safetensors"


class QBMVAEEmbedder:
    """Cells to the posterior probabilities of a trained QBM-VAE's bits, (n_cells, n_latent) float32."""

    def __init__(self, model: Any, width: int):
        self.model, self.width = model, width

    def __call__(self, adata: AnnData) -> np.ndarray:
        """Embed cells whose X holds counts."""
        return self.model.get_latent_representation(_counts(adata), representation="probabilities")

    @classmethod
    def fit(cls, adata: AnnData, *, n_latent: int = 32, max_epochs: int | None = None, seed: int = 0) -> QBMVAEEmbedder:
        """Train the model on all training cells; by default for about 60,000 cells' worth of steps.

        Parameters
        ----------
        adata
            Training cells; X holds counts.
        n_latent
            Bits.
        max_epochs
            Epochs.
        seed
            Of the training.
        """
        from qbmvae import QBMVAE

        counts = _counts(adata)
        QBMVAE.setup_anndata(counts)
        model = QBMVAE(counts, n_latent=n_latent)
        epochs = max_epochs or max(1, min(50, round(60_000 / counts.n_obs)))
        model.train(max_epochs=epochs, batch_size=128, seed=seed)
        return cls(model, n_latent)

    def save(self, directory: Path) -> None:
        """Write the model next to the predictor."""
        self.model.export(directory / FILE)

    @classmethod
    def load(cls, directory: Path) -> QBMVAEEmbedder:
        """Read what `save` wrote."""
        from qbmvae import QBMVAE

        model = QBMVAE.from_export(directory / FILE)
        return cls(model, model.module.n_latent)


def _counts(adata: AnnData) -> AnnData:
    import anndata as ad

    x = adata.X
    values = x.data if sp.issparse(x) else np.asarray(x)
    if (np.modf(values)[0] != 0).any():
        raise InputError(
            "the QBM-VAE backbone embeds counts, but X holds fractions: give counts in X, or --backbone pca"
        )
    return ad.AnnData(sp.csr_matrix(x, dtype=np.float32), obs=adata.obs[[]].copy(), var=adata.var[[]].copy())
