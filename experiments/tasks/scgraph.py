"""scGraph: does the embedding place the types at the distances that each batch shows by itself?"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from experiments.tasks.arrays import check_embedding


def type_distances(x: np.ndarray, label: Any, types: list[str], trim: float = 0.05) -> pd.DataFrame:
    """Return distances between the types' trimmed centroids, each column divided by its largest.

    Parameters
    ----------
    x
        Coordinates, `(n_cells, n_dimensions)`.
    label
        Type of each cell, `(n_cells,)`.
    types
        The types to take; those without cells are left out.
    trim
        Share cut from each end of every coordinate before its mean.

    Returns
    -------
    pandas.DataFrame
        `(n_types, n_types)`.
    """
    from scipy.spatial.distance import cdist
    from scipy.stats import trim_mean

    label = np.asarray(label).astype(str)
    present = [t for t in sorted(types) if (label == t).any()]
    centres = np.array([trim_mean(x[label == t], trim, axis=0) for t in present])
    distances = pd.DataFrame(cdist(centres, centres), index=present, columns=present) if present else pd.DataFrame()
    return distances / distances.max(axis=0)


def consensus(
    log_counts: Any, batch: Any, label: Any, trim: float = 0.05, min_batch: int = 100, min_type: int = 10
) -> pd.DataFrame:
    """Return the types' distances averaged over the batches, each seen in its own PCA.

    Parameters
    ----------
    log_counts
        Log-normalised expression, `(n_cells, n_genes)`, dense or sparse.
    batch, label
        Batch and type of each cell, `(n_cells,)`.
    trim
        Share trimmed from each end in the centroids.
    min_batch, min_type
        Batches and types with fewer cells are ignored.

    Returns
    -------
    pandas.DataFrame
        `(n_types, n_types)`, NaN for two types that no batch shows together; empty where no batch is large enough.

    Notes
    -----
    Wang, Leskovec and Regev (2024): 1,000 highly variable genes and 10 components a batch.
    """
    import anndata as ad
    import scanpy as sc

    batch, label = np.asarray(batch).astype(str), np.asarray(label).astype(str)
    names, counts = np.unique(label, return_counts=True)
    types = [str(t) for t, n in zip(names, counts, strict=True) if n >= min_type]
    seen = []
    for value in pd.unique(batch):
        rows = np.flatnonzero(batch == value)
        if len(rows) < min_batch:
            continue
        part = ad.AnnData(log_counts[rows])
        with warnings.catch_warnings():
            # fewer genes than asked for is the usual case here
            warnings.simplefilter("ignore")
            sc.pp.highly_variable_genes(part, n_top_genes=min(1000, part.n_vars))
        sc.pp.pca(part, n_comps=min(10, int(part.var.highly_variable.sum()) - 1), mask_var="highly_variable")
        seen.append(type_distances(part.obsm["X_pca"], label[rows], types, trim))
    if not seen:
        return pd.DataFrame()
    stacked = pd.concat(seen, axis=0, sort=False)
    mean = stacked.groupby(stacked.index).mean()
    mean = mean.loc[mean.columns]
    return mean / mean.max(axis=0)


def scgraph(embedding: Any, label: Any, reference: pd.DataFrame, trim: float = 0.05) -> dict[str, float]:
    """Score an embedding against the consensus of the batches.

    Parameters
    ----------
    embedding
        `(n_cells, n_dimensions)`.
    label
        Type of each cell, `(n_cells,)`.
    reference
        What `consensus` returns.
    trim
        As in `consensus`.

    Returns
    -------
    dict
        "Rank" (Spearman), "Correlation" (Pearson) and "Weighted" (Pearson, weights 1 / reference distance: scGraph's
        main score), each the mean over types; NaN for fewer than three types.
    """
    x = check_embedding(embedding, len(np.asarray(label)))
    scores: dict[str, list[float]] = {"Rank": [], "Correlation": [], "Weighted": []}
    if len(reference) > 2:
        own = type_distances(x, label, list(reference.columns), trim)
        for column in own.columns:
            pair = pd.concat([own[column], reference[column]], axis=1).dropna().to_numpy()
            for name, value in _agreement(pair[:, 0], pair[:, 1]).items():
                scores[name].append(value)
    return {name: float(np.nanmean(v)) if np.isfinite(v).any() else float("nan") for name, v in scores.items()}


def _agreement(own: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    from scipy.stats import rankdata

    weights = np.divide(1.0, reference, out=np.zeros_like(reference), where=reference > 0)
    equal = np.ones_like(reference)
    return {
        "Rank": weighted_pearson(rankdata(own), rankdata(reference), equal),
        "Correlation": weighted_pearson(own, reference, equal),
        "Weighted": weighted_pearson(own, reference, weights),
    }


def weighted_pearson(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Return Pearson's correlation under weights; NaN where one side is constant or the weights sum to nothing.

    Parameters
    ----------
    x, y, weights
        `(n,)` each.
    """
    total = weights.sum()
    if not total > 0:
        return float("nan")
    dx, dy = x - (weights @ x) / total, y - (weights @ y) / total
    scale = np.sqrt((weights @ dx**2) * (weights @ dy**2))
    return float(weights @ (dx * dy) / scale) if scale > 1e-15 * total else float("nan")
