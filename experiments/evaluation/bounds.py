"""What an integration score is without any signal, with perfect mixing, and inside one batch: read every score between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.tasks.arrays import finite_mean, stratified_subsample
from experiments.tasks.ceilings import pca, thin
from experiments.tasks.integration import aggregate, batch_variance, integration
from experiments.tasks.metrics import in_group
from experiments.tasks.within_type import within_type

#: Rows of the table, and what each is.
ROWS = {
    "labels shuffled": "the unintegrated cells, types shuffled inside batches: the null of the scores about types",
    "batches shuffled": "the unintegrated cells, batches shuffled inside types: perfect mixing, whatever composition allows",
    "one batch alone": "the scores about types inside single batches, averaged: what noise allows without any batch effect",
}
MAX_CELLS = 2000


def integration_bounds(
    unintegrated: np.ndarray, batch: np.ndarray | None, label: np.ndarray, counts: Any, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Return integration scores of three references.

    Parameters
    ----------
    unintegrated
        Principal components before integration, `(n_cells, n_components)`.
    batch, label
        Of each cell, `(n_cells,)`; None for one batch.
    counts
        `(n_cells, n_genes)`, for the noise ceiling of the conservation inside types.
    seed
        Of the shuffles.

    Returns
    -------
    dict
        A row of `ROWS` to the scores that it bounds. At most 2,000 cells are looked at.

    Notes
    -----
    The ceiling of the conservation inside types, under "one batch alone", is sqrt(2 r / (1 + r)), r the score of one half
    of each cell's counts against the other: the reliability at full depth by Spearman and Brown, and its square root the
    correlation of noisy distances with those without noise.
    """
    batch = np.zeros(len(label), dtype=np.int64) if batch is None else batch
    strata = np.char.add(np.char.add(batch.astype(str), "\x00"), label.astype(str))
    rows = stratified_subsample(strata, MAX_CELLS, seed)
    x, b, y = unintegrated[rows], np.asarray(batch)[rows], np.asarray(label)[rows]
    rng = np.random.default_rng(seed)
    bio, mixing = in_group("bio"), (*in_group("batch"), "Silhouette batch", "CiLISI")
    also = (
        "KMeans NMI (10 starts)",
        "KMeans ARI (10 starts)",
        "Rare types",
        "Closest types",
        "KNI",
        "Leiden NMI",
        "Leiden ARI",
    )
    found: dict[str, dict[str, float]] = {}
    if len(np.unique(y)) > 1:
        null = integration(x, b, _within(y, b, rng), x)
        found["labels shuffled"] = _means({n: null[n] for n in (*bio, *also, "CiLISI") if n in null})
        alone = [integration(x[r], b[r], y[r], x[r]) for r in _groups(b) if len(np.unique(y[r])) > 1]
        names = [n for n in (*bio, *also) if n != "KNI"]
        found["one batch alone"] = _means({n: finite_mean(s[n] for s in alone if n in s) for n in names})
        halves = [pca(half, seed=seed)[rows] for half in thin(counts, seed)]
        r = within_type(halves[0], halves[1], b, y)
        if np.isfinite(r) and r > 0:
            found["one batch alone"]["Within-type conservation"] = float(np.sqrt(2 * r / (1 + r)))
    if len(np.unique(b)) > 1:
        mixed = _within(b, y, rng)
        perfect = integration(x, mixed, y, x)
        scores = {n: perfect[n] for n in (*mixing, "KNI") if n in perfect}
        # before integration the batches are the true ones
        before, after = batch_variance(x, b), batch_variance(x, mixed)
        scores["PCR comparison"] = float(np.clip((before - after) / before, 0, 1)) if before > 1e-12 else float("nan")
        found["batches shuffled"] = _means(scores)
    return found


def _within(values: np.ndarray, groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return values shuffled inside groups."""
    shuffled = values.copy()
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        shuffled[rows] = values[rng.permutation(rows)]
    return shuffled


def _groups(batch: np.ndarray, min_cells: int = 50) -> list[np.ndarray]:
    return [r for value in np.unique(batch) if len(r := np.flatnonzero(batch == value)) >= min_cells]


def _means(scores: dict[str, float]) -> dict[str, float]:
    """Add the means that the scores make, and no total: no row bounds both sides."""
    means = {k: v for k, v in aggregate(scores).items() if not k.startswith("Total") and np.isfinite(v)}
    return {**{k: float(v) for k, v in scores.items()}, **means}
