"""Trajectories: is the order of cells along a process kept, on the whole graph, per branch and across batches?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.tasks.arrays import as_codes, check_embedding, finite_mean, nearest_neighbors
from samplers.errors import InputError


def neighbour_graph(embedding: Any, n_neighbors: int = 15) -> tuple[Any, np.ndarray]:
    """Return the graph of the nearest neighbours, CSR `(n_cells, n_cells)`, and each cell's connected component."""
    from scipy.sparse.csgraph import connected_components

    graph = nearest_neighbors(check_embedding(embedding), n_neighbors).knn_graph_connectivities.tocsr()
    return graph, connected_components(graph, directed=False)[1]


def diffusion_pseudotime(
    embedding: Any, root: int, n_neighbors: int = 15, graph: tuple[Any, np.ndarray] | None = None
) -> np.ndarray:
    """Return diffusion pseudotime from a root cell, `(n_cells,)`; infinite for cells that the graph does not reach.

    Parameters
    ----------
    embedding
        `(n_cells, n_dimensions)`.
    root
        Row of the root cell.
    n_neighbors
        Size of the neighbourhoods, as scanpy counts them (the cell itself included).
    graph
        What `neighbour_graph` returns, where it was made before.

    Raises
    ------
    InputError
        For a root that is no row.

    Notes
    -----
    Haghverdi et al., Nature Methods 13, 845 (2016), on the root's connected component with 10 diffusion components;
    the geometry outside the component cannot touch it.
    """
    import anndata as ad
    import scanpy as sc

    x = check_embedding(embedding)
    if not 0 <= root < len(x):
        raise InputError(f"root cell {root} is out of range: there are {len(x)} cells")
    time = np.full(len(x), np.inf)
    graph, components = graph or neighbour_graph(x, n_neighbors)
    inside = np.flatnonzero(components == components[root])
    time[root] = 0.0
    # two eigenvectors at least, and fewer components than cells
    if len(inside) < 4:
        time[inside] = 0.0
        return time
    part = ad.AnnData(np.zeros((len(inside), 1), dtype=np.float32))
    part.obsp["connectivities"] = part.obsp["distances"] = graph[inside][:, inside]
    part.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "distances_key": "distances",
        "params": {"n_neighbors": n_neighbors, "method": "umap"},
    }
    part.uns["iroot"] = int(np.searchsorted(inside, root))
    sc.tl.diffmap(part, n_comps=min(15, len(inside) - 2))
    sc.tl.dpt(part, n_dcs=min(10, len(inside) - 2))
    time[inside] = part.obs["dpt_pseudotime"].to_numpy()
    return time


def spearman(x: Any, y: Any) -> float:
    """Return Spearman's correlation; NaN for fewer than three values or where one side is constant."""
    from scipy.stats import spearmanr

    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(spearmanr(x, y).statistic)


def conservation(
    embedding: Any,
    reference: Any,
    roots: Sequence[int],
    batch: Any = None,
    branch: Any = None,
    n_neighbors: int = 15,
    batches: Any = None,
) -> dict[str, float]:
    """Score the order of cells by diffusion pseudotime on the embedding, in scIB's definition and in others.

    Parameters
    ----------
    embedding
        `(n_cells, n_dimensions)`.
    reference
        Pseudotime or real time of each cell, `(n_cells,)`, NaN where unknown (left out).
    roots
        Rows of the cells to start from; the scores are means over them.
    batch
        Correlate inside each batch and take the mean, as scIB does for references made batch by batch.
    branch
        Lineage of each cell, `(n_cells,)`, None or NaN where it has none: also correlate inside each lineage.
    n_neighbors
        Size of the neighbourhoods.
    batches
        Batch of each cell for "worst_batch", `batch` by default.

    Returns
    -------
    dict
        "score": scIB's, (1 + Spearman) / 2 on the largest component of the graph, entered at its cell of smallest
        reference where the root lies outside, with the other cells at pseudotime 0 (so a torn graph costs);
        "spearman": the same correlation unscaled; "spearman_reachable": over the cells that the graph reaches;
        "unreachable": the share of the others; "worst_batch": the lowest "spearman" inside a batch
        of ten cells or more; "spearman_branches": mean over lineages, each lineage's own graph
        entered at its cell of smallest reference.

    Raises
    ------
    InputError
        Where the time is of other cells, known of fewer than three, or unknown at a root.

    Notes
    -----
    Luecken et al. (2022), trajectory conservation; the root is given, where scIB has the three first diffusion
    components vote among the cells of the earliest cluster.
    """
    x = check_embedding(embedding)
    known = np.asarray(reference, dtype=np.float64)
    if known.shape != (len(x),):
        raise InputError(f"the reference time has shape {known.shape} for {len(x)} cells")
    use = np.flatnonzero(np.isfinite(known))
    if len(use) < 3:
        raise InputError(f"a trajectory needs a reference time for three cells or more; {len(use)} have one")
    b = np.zeros(len(x), dtype=np.int64) if batch is None else as_codes(batch, len(x), "batch")[0]
    starts = [np.flatnonzero(use == root) for root in roots]
    if not len(starts) or any(not len(s) for s in starts):
        raise InputError(f"roots {list(roots)}: give one cell or more, each with a reference time")
    # cells off the process stay out of the graph, as in scIB: they would take up the diffusion components
    graph = neighbour_graph(x[use], n_neighbors)
    largest = np.flatnonzero(graph[1] == np.bincount(graph[1]).argmax())
    e = b if batches is None else as_codes(batches, len(x), "batches")[0]
    each = [e[use] == value for value in np.unique(e[use])]
    rows: list[dict[str, float]] = []
    for start in starts:
        entry = int(start[0])
        if entry not in largest:
            entry = int(largest[np.argmin(known[use][largest])])
        time = diffusion_pseudotime(x[use], entry, n_neighbors, graph)
        reached = np.isfinite(time)
        full = np.where(reached, time, 0.0)
        groups = [b[use] == value for value in np.unique(b[use])]
        whole = finite_mean(spearman(known[use][g], full[g]) for g in groups)
        part = finite_mean(spearman(known[use][g & reached], time[g & reached]) for g in groups)
        in_batch = [spearman(known[use][g], full[g]) for g in each if g.sum() >= 10]
        worst = min((r for r in in_batch if np.isfinite(r)), default=float("nan"))
        rows.append(
            {
                "spearman": whole,
                "spearman_reachable": part,
                "unreachable": float(1 - reached.mean()),
                "worst_batch": worst,
            }
        )
    scores = {name: finite_mean(r[name] for r in rows) for name in rows[0]}
    scores["score"] = (1 + scores["spearman"]) / 2
    if branch is not None:
        scores["spearman_branches"] = finite_mean(_branches(x, known, branch, n_neighbors))
    return scores


def _branches(x: np.ndarray, known: np.ndarray, branch: Any, n_neighbors: int) -> list[float]:
    import pandas as pd

    names = pd.Series(np.asarray(branch, dtype=object))
    values = []
    for _, rows in names[names.notna() & np.isfinite(known)].groupby(names).groups.items():
        cells = np.asarray(rows)
        if len(cells) < 20:
            continue
        time = diffusion_pseudotime(x[cells], int(np.argmin(known[cells])), n_neighbors)
        values.append(spearman(known[cells], np.where(np.isfinite(time), time, 0.0)))
    return values


def reference_pseudotime(pca: Any, batch: Any, root: int, n_neighbors: int = 15) -> np.ndarray:
    """Return diffusion pseudotime made batch by batch before integration, `(n_cells,)`, NaN for unreached cells.

    Parameters
    ----------
    pca
        PCA of the unintegrated data, `(n_cells, n_components)`.
    batch
        Batch of each cell; those of fewer than 30 cells get no reference.
    root
        Row of the root cell; the other batches start at their cell nearest to it.
    n_neighbors
        Size of the neighbourhoods.
    """
    x = check_embedding(pca)
    b, _ = as_codes(batch, len(x), "batch")
    time = np.full(len(x), np.nan)
    for value in np.unique(b):
        rows = np.flatnonzero(b == value)
        if len(rows) < 30:
            continue
        start = int(np.argmin(((x[rows] - x[root]) ** 2).sum(axis=1)))
        own = diffusion_pseudotime(x[rows], start, n_neighbors)
        time[rows] = np.where(np.isfinite(own), own, np.nan)
    return time


def pick_roots(reference: Any, n_roots: int = 3, batch: Any = None) -> list[int]:
    """Return rows of the cells with the smallest reference time, the earliest of each batch first.

    Parameters
    ----------
    reference
        Time of each cell, `(n_cells,)`, NaN where unknown.
    n_roots
        How many.
    batch
        Of each cell: roots are picked in each.
    """
    known = np.asarray(reference, dtype=np.float64)
    order = [int(i) for i in np.argsort(known, kind="stable") if np.isfinite(known[i])]
    if batch is None:
        return order[:n_roots]
    seen: dict[Any, int] = {}
    for i in order:
        seen.setdefault(np.asarray(batch)[i], i)
    first = list(seen.values())
    return [*first, *(i for i in order if i not in first)][:n_roots]


def time_regression(
    embedding: Any, time: Any, batch: Any = None, n_neighbors: int = 15, seed: int = 0
) -> dict[str, float]:
    """Return R2 of time (or of mixture shares) regressed on the nearest neighbours.

    Parameters
    ----------
    embedding
        `(n_cells, n_dimensions)`.
    time
        `(n_cells,)` or `(n_cells, n_targets)`; rows with NaN are left out.
    batch
        With two batches or more, also predict each batch from the others.
    n_neighbors
        Neighbours averaged.
    seed
        Seed of the five folds.

    Returns
    -------
    dict
        "within": R2 over five folds of all cells; "across": R2 of each batch predicted from the others, pooled.
        R2 is over all targets together and can be negative.
    """
    from sklearn.neighbors import KNeighborsRegressor

    from experiments.tasks.classification import folds

    x = check_embedding(embedding)
    target = np.asarray(time, dtype=np.float64).reshape(len(x), -1)
    use = np.flatnonzero(np.isfinite(target).all(axis=1))
    x, target = x[use], target[use]

    def r2(splits: Any) -> float:
        predicted = np.full_like(target, np.nan)
        for train, test in splits:
            model = KNeighborsRegressor(n_neighbors=min(n_neighbors, len(train))).fit(x[train], target[train])
            predicted[test] = model.predict(x[test]).reshape(len(test), -1)
        left, total = ((target - predicted) ** 2).sum(), ((target - target.mean(axis=0)) ** 2).sum()
        return float(1 - left / total) if total > 0 else float("nan")

    scores = {"within": r2(folds(np.zeros(len(x)), None, min(5, len(x)), seed)), "across": float("nan")}
    if batch is not None:
        b = np.asarray(batch).astype(str)[use]
        if len(np.unique(b)) > 1:
            scores["across"] = r2((np.flatnonzero(b != v), np.flatnonzero(b == v)) for v in np.unique(b))
    return scores
