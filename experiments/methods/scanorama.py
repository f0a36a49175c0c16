"""Scanorama (Hie et al. 2019): panoramic stitching by mutual nearest neighbours."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import numpy as np

from experiments.data.datasets import log_normalised
from experiments.methods.base import Fitted, Task
from samplers.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from anndata import AnnData


def fit_scanorama(task: Task, n_components: int = 50) -> Fitted:
    """Fit Scanorama on log-normalised counts, batch by batch.

    Parameters
    ----------
    task
        The cells.
    n_components
        Dimensions of the joint embedding.

    Raises
    ------
    InputError
        Without two batches.
    MissingExtraError
        Where Scanorama is not installed.
    """
    try:
        import scanorama
    except ImportError:
        raise MissingExtraError("scanorama", "baselines") from None
    if task.batch_key is None or task.adata.obs[task.batch_key].nunique() < 2:
        raise InputError("Scanorama needs a batch_key with two batches or more")
    batch = task.adata.obs[task.batch_key].astype(str).to_numpy()
    log = log_normalised(task.adata, task.layer).X.tocsr()
    rows = [np.flatnonzero(batch == value) for value in np.unique(batch)]
    genes = [np.asarray(task.adata.var_names, dtype=str)] * len(rows)
    # it prints its progress, and standard output belongs to the results
    with contextlib.redirect_stdout(io.StringIO()):
        parts, _ = scanorama.integrate(
            [log[r] for r in rows], genes, dimred=min(n_components, task.adata.n_vars - 1), seed=task.seed, verbose=0
        )
    x = np.zeros((task.adata.n_obs, parts[0].shape[1]), dtype=np.float32)
    for r, part in zip(rows, parts, strict=True):
        x[r] = part

    def embed(adata: AnnData | None = None) -> np.ndarray:
        if adata is not None:
            raise InputError("Scanorama corrects the cells that it was fitted on; it cannot embed others")
        return x

    return Fitted(embed, model=(x,), inductive=False)
