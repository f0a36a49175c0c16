"""Embeddings as files that other tools read, every one keyed by obs_names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.runs import embedding_table, write_atomically
from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


def write_embedding(
    path: str | Path, model: Any, adata: AnnData, representation: str = "probabilities"
) -> tuple[int, int]:
    """Embed cells and write the result.

    Parameters
    ----------
    path
        The file: .h5ad, .parquet or .npz.
    model
        A trained `QBMVAE`.
    adata
        The cells.
    representation
        Of `get_latent_representation`.

    Returns
    -------
    The embedding's shape.
    """
    path = Path(path)
    if path.suffix not in WRITERS:
        raise InputError(f"{path} has no known format: end it with {', '.join(WRITERS)}")
    embedding = model.get_latent_representation(adata, representation=representation)
    codes = model.get_codes(adata) if model.module.vae.prior.discrete else None
    write_atomically(path, lambda p: WRITERS[path.suffix](p, adata, embedding, codes))
    return embedding.shape


def _h5ad(path: Path, adata: AnnData, embedding: np.ndarray, codes: np.ndarray | None) -> None:
    import anndata as ad

    table = embedding_table(adata.obs_names, embedding)
    out = ad.AnnData(embedding, obs=adata.obs.copy(), var=pd.DataFrame(index=table.columns))
    out.obsm["X_qbmvae"] = embedding
    if codes is not None:
        out.obsm["codes"] = codes
    out.write_h5ad(path)


def _parquet(path: Path, adata: AnnData, embedding: np.ndarray, codes: np.ndarray | None) -> None:
    embedding_table(adata.obs_names, embedding).to_parquet(path)


def _npz(path: Path, adata: AnnData, embedding: np.ndarray, codes: np.ndarray | None) -> None:
    names = np.asarray(adata.obs_names, dtype=str)
    extra: dict[str, Any] = {} if codes is None else {"codes": codes}
    with open(path, "wb") as handle:
        np.savez_compressed(handle, obs_names=names, embedding=embedding, **extra)


WRITERS = {".h5ad": _h5ad, ".parquet": _parquet, ".npz": _npz}
