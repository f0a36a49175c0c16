"""From a predicted shift to cells: control cells changed so that their pseudobulk is the control mean plus the shift."""

from __future__ import annotations

import math

import numba
import numpy as np
import scipy.sparse as sp


def make_cells(
    controls: sp.csr_matrix | np.ndarray,
    control_mean: np.ndarray,
    delta: np.ndarray,
    n_cells: int,
    *,
    how: str = "scale",
    rng: np.random.Generator,
) -> sp.csr_matrix:
    """Return (n_cells, n_genes) log1p-normalised cells.

    Parameters
    ----------
    controls
        Control cells to start from, drawn with replacement where there are fewer than `n_cells`.
    control_mean
        (n_genes,) mean of all controls.
    delta
        (n_genes,) predicted shift.
    how
        "shift": every value plus delta, negative values cut. "scale": each gene's share of expressing cells follows the
        change of its mean as a Poisson count's would, p -> 1 - (1 - p)^r, then its values are rescaled, none beyond the
        largest of the controls (or of the predicted means); the pseudobulk is exactly max(control_mean + delta, 0),
        whichever cells were drawn.
    n_cells
        How many.
    rng
        The generator.
    """
    rows = rng.choice(controls.shape[0], n_cells, replace=controls.shape[0] < n_cells)
    drawn = controls[np.sort(rows)]
    if how == "shift":
        dense = np.asarray(drawn.todense() if sp.issparse(drawn) else drawn, dtype=np.float32) + delta.astype(
            np.float32
        )
        return sp.csr_matrix(np.maximum(dense, 0.0))
    columns = sp.csc_matrix(drawn, dtype=np.float32)
    columns.sort_indices()
    target = np.maximum(control_mean + delta, 0.0).astype(np.float64)
    count = np.diff(columns.indptr)
    mean = np.asarray(columns.sum(axis=0), dtype=np.float64).ravel() / n_cells
    highest = np.max(np.asarray(controls.data if sp.issparse(controls) else controls), initial=0.0)
    cap = float(max(highest, target.max(initial=0.0)))
    wanted = _wanted(count / n_cells, mean, target, n_cells)
    if cap > 0:
        # enough cells to hold the total without a value beyond the cap
        wanted = np.maximum(wanted, np.ceil(target * n_cells / cap - 1e-9).astype(np.int64))
    indptr = np.concatenate([[0], np.cumsum(wanted)])
    data, indices = np.empty(indptr[-1], np.float32), np.empty(indptr[-1], np.int32)
    _fill(
        columns.data, columns.indices, columns.indptr, target, cap, n_cells, indptr, data, indices,
        int(rng.integers(2**31)),
    )  # fmt: skip
    return sp.csc_matrix((data, indices, indptr), shape=columns.shape).tocsr()


def _wanted(share: np.ndarray, mean: np.ndarray, target: np.ndarray, n_cells: int) -> np.ndarray:
    """Return how many cells express each gene after the change."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.expm1(target) / np.expm1(mean)
        share_after = 1 - (1 - share) ** ratio
    # a gene that no drawn cell expresses: the share of a Poisson count of this mean
    share_after = np.where(mean > 0, share_after, -np.expm1(-np.expm1(target)))
    wanted = np.rint(n_cells * share_after).astype(np.int64)
    return np.where(target <= 0, 0, np.clip(wanted, np.where(target * n_cells > 0.05, 1, 0), n_cells))


@numba.njit(cache=True)
def _fill(
    old: np.ndarray,
    rows: np.ndarray,
    old_indptr: np.ndarray,
    target: np.ndarray,
    cap: float,
    n_cells: int,
    indptr: np.ndarray,
    data: np.ndarray,
    indices: np.ndarray,
    seed: int,
) -> None:
    np.random.seed(seed)
    order = np.empty(n_cells, np.int32)
    value = np.empty(n_cells, np.float32)
    for j in range(target.shape[0]):
        wanted = indptr[j + 1] - indptr[j]
        if wanted == 0:
            continue
        start, have = old_indptr[j], old_indptr[j + 1] - old_indptr[j]
        value[:] = 0.0
        total = 0.0
        for i in range(have):
            value[rows[start + i]] = old[start + i]
            total += old[start + i]
        fresh = total / have if have > 0 else math.log(2.0)
        # expressing cells first, then the others, each part shuffled
        head, tail = 0, n_cells
        for i in range(n_cells):
            if value[i] > 0:
                order[head] = i
                head += 1
            else:
                tail -= 1
                order[tail] = i
        for i in range(min(wanted, head)):
            k = i + np.random.randint(head - i)
            order[i], order[k] = order[k], order[i]
        for i in range(head, wanted):
            k = i + np.random.randint(n_cells - i)
            order[i], order[k] = order[k], order[i]
        total = 0.0
        for i in range(wanted):
            if value[order[i]] == 0:
                value[order[i]] = fresh
            total += value[order[i]]
        # rescale; what would pass the cap stays there, and the others take its share
        left, free = target[j] * n_cells, total
        factor = left / free
        again = True
        while again:
            again = False
            for i in range(wanted):
                v = value[order[i]]
                if 0 < v and v * factor > cap * (1 + 1e-6):
                    value[order[i]] = -1.0
                    left, free, again = left - cap, free - v, True
            if again:
                factor = left / free if free > 1e-9 else 0.0
        chosen = np.sort(order[:wanted])
        for i in range(wanted):
            indices[indptr[j] + i] = chosen[i]
            v = value[chosen[i]]
            data[indptr[j] + i] = cap if v < 0 else v * factor
