"""Any model's embedding with the closed-form alignment of batches that our own embedding has: what remains over it is the model's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from experiments.methods.base import Fitted, Task
from qbmvae.core import alignment

if TYPE_CHECKING:
    from anndata import AnnData


def align(fitted: Fitted, task: Task) -> Fitted:
    """Return a fitted model whose embedding is aligned by `qbmvae.core.alignment`.

    Parameters
    ----------
    fitted
        The model; its embedding of the task's cells fixes clusters and offsets. New cells of known batches are moved by the
        same offsets, cells of other batches stay.
    task
        What it was fitted on.
    """
    if task.batch_key is None or task.adata.obs[task.batch_key].nunique() < 2:
        return fitted
    names = {name: code for code, name in enumerate(sorted(task.adata.obs[task.batch_key].astype(str).unique()))}

    def moved(x: np.ndarray, adata: AnnData, found: alignment.Alignment | None = None) -> np.ndarray:
        coordinates = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))
        codes = adata.obs[task.batch_key].astype(str).map(names).fillna(-1).to_numpy(dtype=np.int64)
        batch = torch.from_numpy(codes)
        found = found or alignment.fit(coordinates, batch, len(names), seed=task.seed)
        return found.apply(coordinates, batch).numpy()

    own = fitted.embed(None)
    x = torch.from_numpy(np.ascontiguousarray(own, dtype=np.float32))
    codes = torch.from_numpy(task.adata.obs[task.batch_key].astype(str).map(names).to_numpy(dtype=np.int64))
    fixed = alignment.fit(x, codes, len(names), seed=task.seed)
    on_task = fixed.apply(x, codes).numpy()

    def embed(adata: AnnData | None = None) -> np.ndarray:
        return on_task if adata is None else moved(fitted.embed(adata), adata, fixed)

    # an embedding of an earlier epoch has clusters of its own
    by_epoch = {epoch: moved(snapshot, task.adata) for epoch, snapshot in fitted.by_epoch.items()}
    return replace(fitted, embed=embed, by_epoch=by_epoch)
