"""Noise ceilings: what the data themselves allow, batch by batch, to be read with every score.

Parameters
----------
counts
    `(n_cells, n_genes)`.
batch, label
    Of each cell, `(n_cells,)`.
root
    Row of the cell where pseudotime starts.
min_cells
    Smaller batches are left out.
n_components, seed
    Principal components; seed of folds and halves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from experiments.tasks.arrays import as_codes, finite_mean


def thin(counts: Any, seed: int = 0) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Split counts binomially into two halves: two sequencings of half the depth of the same cells.

    The halves of Poisson counts are independent given the cell's rates.
    """
    whole = sp.csr_matrix(counts, dtype=np.float64)
    first = whole.copy()
    first.data = np.random.default_rng(seed).binomial(np.rint(whole.data).astype(np.int64), 0.5).astype(np.float64)
    second = (whole - first).tocsr()
    first.eliminate_zeros()
    second.eliminate_zeros()
    return first, second


def pca(counts: Any, n_components: int = 30, seed: int = 0) -> np.ndarray:
    """Return principal components of log-normalised counts, `(n_cells, <= n_components)`."""
    from sklearn.decomposition import PCA

    from experiments.tasks.generation import log_normalise

    x = log_normalise(counts)
    return PCA(min(n_components, min(x.shape) - 1), random_state=seed).fit_transform(x).astype(np.float32)


def label_ceiling(counts: Any, batch: Any, label: Any, min_cells: int = 50, seed: int = 0) -> dict[str, float]:
    """Return, batch by batch, the macro-F1 of types read from that batch alone, and their mean under "mean".

    Logistic regression on 30 principal components, five folds: no batch effect can hurt it, only noise and label
    errors. Not a strict bound: a model that borrows from other batches can beat it.
    """
    from experiments.tasks.classification import classification_scores, cross_validate

    counts = sp.csr_matrix(counts)
    b, names = as_codes(batch, counts.shape[0], "batch")
    label = np.asarray(label).astype(str)
    scores = {}
    for i, name in enumerate(names):
        rows = np.flatnonzero(b == i)
        if len(rows) < min_cells or len(np.unique(label[rows])) < 2:
            continue
        predicted = cross_validate(pca(counts[rows], seed=seed), label[rows], "logistic", seed=seed)
        scores[str(name)] = float(classification_scores(label[rows], predicted)["f1"])
    return {**scores, "mean": finite_mean(scores.values())}


def pseudotime_ceiling(counts: Any, batch: Any, root: int, min_cells: int = 50, seed: int = 0) -> dict[str, float]:
    """Return, batch by batch, how well the pseudotimes of two halves of the counts agree, and their mean.

    Spearman correlation r of the halves, stepped up to full depth by Spearman and Brown's 2 r / (1 + r).
    """
    from experiments.tasks.trajectory import reference_pseudotime, spearman

    counts = sp.csr_matrix(counts)
    b, names = as_codes(batch, counts.shape[0], "batch")
    first, second = (pca(half, seed=seed) for half in thin(counts, seed))
    times = [reference_pseudotime(half, batch, root) for half in (first, second)]
    scores = {}
    for i, name in enumerate(names):
        rows = np.flatnonzero((b == i) & np.isfinite(times[0]) & np.isfinite(times[1]))
        r = spearman(times[0][rows], times[1][rows]) if len(rows) >= min_cells else float("nan")
        if np.isfinite(r):
            scores[str(name)] = 2 * r / (1 + r) if r > 0 else r
    return {**scores, "mean": finite_mean(scores.values())}
