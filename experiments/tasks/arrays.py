"""What every task needs: checked arrays, nearest neighbours computed once, a stratified subsample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from samplers.errors import InputError

if TYPE_CHECKING:
    from scib_metrics.nearest_neighbors import NeighborsResults

# exact search costs n^2 d: seconds at this size, and it repeats to the bit
EXACT_UP_TO = 20_000


def check_embedding(embedding: Any, n_cells: int | None = None) -> np.ndarray:
    """Return an embedding as a float32 array `(n_cells, n_dimensions)`.

    Raises
    ------
    InputError
        For a wrong shape or a value that is not finite; the message names the first row.
    """
    array = np.ascontiguousarray(embedding, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(f"an embedding has shape (n_cells, n_dimensions), not {array.shape}")
    if n_cells is not None and len(array) != n_cells:
        raise InputError(f"the embedding has {len(array)} rows for {n_cells} cells: give one row a cell")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise InputError(f"the embedding is not finite in {len(bad)} rows, the first is row {bad[0]}")
    return array


def as_codes(values: Any, n_cells: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as integer codes and their sorted names.

    Parameters
    ----------
    values
        Names, `(n_cells,)`.
    n_cells
        How many there must be.
    name
        What they are, in the message.

    Raises
    ------
    InputError
        For a wrong length or a missing label; the message names the first row.
    """
    series = pd.Series(np.asarray(values, dtype=object))
    if len(series) != n_cells:
        raise InputError(f"{name} has {len(series)} entries for {n_cells} cells")
    missing = np.flatnonzero(series.isna())
    if len(missing):
        raise InputError(f"{name} is missing for {len(missing)} cells, the first is row {missing[0]}: drop them first")
    names, codes = np.unique(series.astype(str).to_numpy(), return_inverse=True)
    return codes.astype(np.int64), names


def nearest_neighbors(embedding: np.ndarray, k: int = 90) -> NeighborsResults:
    """Return each cell's `min(k, n_cells)` nearest cells, itself first, as scib-metrics takes them.

    Exact up to 20,000 cells, by nearest-neighbour descent (seed 0) above.
    """
    from scib_metrics.nearest_neighbors import NeighborsResults, pynndescent

    n = len(embedding)
    k = min(k, n)
    if n > EXACT_UP_TO:
        return pynndescent(embedding, n_neighbors=k, random_state=0)
    from sklearn.neighbors import NearestNeighbors

    if k == n:
        searched = NearestNeighbors(n_neighbors=n, algorithm="brute").fit(embedding)
        distances, indices = searched.kneighbors(embedding)
    else:
        # asked without the cell itself: among identical cells the search may otherwise list another in its place
        searched = NearestNeighbors(n_neighbors=k - 1, algorithm="brute").fit(embedding) if k > 1 else None
        own = np.arange(n)[:, None]
        if searched is None:
            return NeighborsResults(indices=own, distances=np.zeros((n, 1)))
        distances, indices = searched.kneighbors()
        distances = np.hstack([np.zeros((n, 1)), distances])
        indices = np.hstack([own, indices])
    return NeighborsResults(indices=indices.astype(np.int64), distances=distances.astype(np.float64))


def stratified_subsample(strata: Any, n_max: int, seed: int = 0) -> np.ndarray:
    """Return sorted row numbers of at most about `n_max` cells, each stratum in its share and never empty.

    Parameters
    ----------
    strata
        One value a cell, for instance batch and label joined, shape `(n_cells,)`.
    n_max
        Size wanted; strata that would vanish keep one cell, which can exceed it.
    seed
        Seed of the draw.
    """
    codes = pd.factorize(pd.Series(np.asarray(strata, dtype=object)).astype(str))[0]
    n = len(codes)
    if n <= n_max:
        return np.arange(n)
    generator = np.random.default_rng(seed)
    kept = []
    for stratum in range(codes.max() + 1):
        rows = np.flatnonzero(codes == stratum)
        size = min(len(rows), max(1, round(len(rows) * n_max / n)))
        kept.append(generator.choice(rows, size=size, replace=False))
    return np.sort(np.concatenate(kept))


def finite_mean(values: Any) -> float:
    """Return the mean of the finite values; NaN where there is none."""
    array = np.asarray(list(values), dtype=np.float64)
    array = array[np.isfinite(array)]
    return float(array.mean()) if len(array) else float("nan")
