"""Silhouettes as scib-metrics defines them, without XLA: its version compiles anew for every number of cells."""

from __future__ import annotations

from typing import Any

import numpy as np

CHUNK = 512


def silhouette_samples(x: np.ndarray, group: Any, metric: str = "euclidean", others: str = "nearest") -> np.ndarray:
    """Return each cell's silhouette, `(n_cells,)`; 0 where it is not defined.

    Parameters
    ----------
    x
        Embedding, `(n_cells, n_dimensions)`.
    group
        Clusters, `(n_cells,)`.
    metric
        "euclidean" or "cosine".
    others
        What a cell's own cluster is compared with: the "nearest" other cluster, or all other cells ("mean_other", BRAS).
    """
    from scipy.spatial.distance import cdist

    x = np.asarray(x, dtype=np.float64)
    if metric == "cosine":
        norm = np.linalg.norm(x, axis=1, keepdims=True)
        x = x / np.where(norm > 0, norm, 1)
    codes = np.unique(np.asarray(group), return_inverse=True)[1]
    sizes = np.bincount(codes).astype(np.float64)
    member = np.eye(len(sizes))[codes]
    result = np.zeros(len(x))
    with np.errstate(divide="ignore", invalid="ignore"):
        for start in range(0, len(x), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(x)))
            distance = 1 - x[rows] @ x.T if metric == "cosine" else cdist(x[rows], x)
            sums = distance @ member
            own = sums[np.arange(len(rows)), codes[rows]]
            if others == "nearest":
                means = sums / sizes
                means[np.arange(len(rows)), codes[rows]] = np.inf
                outside = means.min(axis=1)
            else:
                outside = (sums.sum(axis=1) - own) / (len(x) - sizes[codes[rows]])
            inside = own / (sizes[codes[rows]] - 1)
            result[rows] = (outside - inside) / np.maximum(inside, outside)
    return np.nan_to_num(result, nan=0.0, posinf=0.0, neginf=0.0)


def silhouette_batch(
    x: np.ndarray, label: np.ndarray, batch: np.ndarray, metric: str = "euclidean", others: str = "nearest"
) -> float:
    """Return 1 - |silhouette of the batches| inside each type, averaged over the types with two batches or more.

    BRAS (Rautenstrauch and Ohler 2025) is this in cosine distance against all other cells ("mean_other").

    Parameters
    ----------
    x
        Coordinates, `(n_cells, k)`.
    label, batch
        Of each cell, `(n_cells,)`.
    metric
        "euclidean" or "cosine".
    others
        "nearest" batch or "mean" of all other batches.
    """
    scores = []
    for value in np.unique(label):
        rows = label == value
        n_batches = len(np.unique(batch[rows]))
        if 1 < n_batches < rows.sum():
            scores.append(1 - np.abs(silhouette_samples(x[rows], batch[rows], metric, others)).mean())
    return float(np.mean(scores)) if scores else float("nan")
