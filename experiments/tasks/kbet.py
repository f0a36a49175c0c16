"""kBET as scib-metrics defines it, without XLA: its version compiles anew for the cells of every type and component."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.tasks.arrays import check_embedding, nearest_neighbors

if TYPE_CHECKING:
    from scib_metrics.nearest_neighbors import NeighborsResults


def acceptance(neighbours: np.ndarray, batch: np.ndarray, alpha: float = 0.05) -> float:
    """Return the share of cells whose neighbours' batches pass a chi-square test against the batches of all cells.

    Parameters
    ----------
    neighbours
        Rows of each cell's neighbours, `(n_cells, k)`.
    batch
        `(n_cells,)`.
    alpha
        Level of the test.
    """
    from scipy.stats import chi2

    names, codes = np.unique(batch, return_inverse=True)
    observed = np.stack([(codes[neighbours] == i).sum(axis=1) for i in range(len(names))], axis=1)
    expected = np.bincount(codes) / len(codes) * neighbours.shape[1]
    statistic = ((observed - expected) ** 2 / expected).sum(axis=1)
    return float((chi2.sf(statistic, len(names) - 1) >= alpha).mean())


def kbet_per_label(neighbors: NeighborsResults, batch: np.ndarray, label: np.ndarray, n_components: int = 100) -> float:
    """Return kBET's acceptance on diffusion neighbours inside each type, averaged over the types.

    Parameters
    ----------
    neighbors
        `nearest_neighbors(embedding, 50)`.
    batch, label
        `(n_cells,)`.
    n_components
        Diffusion components.

    Notes
    -----
    Büttner et al. (2019); scib_metrics.kbet_per_label, with exact neighbours in place of approximate ones. Types of fewer
    than ten cells or of one batch are left out; a type whose graph is torn into small parts (less than three quarters of
    its cells in parts of three neighbourhoods or more) scores 0. NaN where no type is left.
    """
    graph = neighbors.knn_graph_connectivities.tocsr()
    scores = []
    for value in np.unique(label):
        rows = np.flatnonzero(label == value)
        counts = np.unique(batch[rows], return_counts=True)[1]
        if len(rows) < 10 or len(counts) < 2:
            continue
        k = min(70, max(10, int(counts.mean() / 4)))
        scores.append(_one_type(graph[rows][:, rows], batch[rows], k, n_components))
    return float(np.mean(scores)) if scores else float("nan")


def diffusion_map(graph: Any, n_components: int) -> np.ndarray:
    """Return the diffusion components of a connected graph, each scaled by its eigenvalue summed over all times.

    Density-normalised transitions (Coifman et al. 2005); the eigensolver starts at a fixed vector, so the result repeats.
    """
    import scipy.sparse as sp
    from scipy.sparse.linalg import eigsh

    def scaled(matrix: Any, by: np.ndarray) -> Any:
        return sp.diags_array(1 / by) @ matrix @ sp.diags_array(1 / by)

    kernel = scaled(graph, np.asarray(graph.sum(axis=0)).ravel())
    transitions = scaled(kernel, np.sqrt(np.asarray(kernel.sum(axis=0)).ravel())).astype(np.float64)
    start = np.random.default_rng(0).uniform(-1, 1, size=graph.shape[0])
    values, vectors = eigsh(transitions, k=min(n_components, graph.shape[0] - 1), which="LM", v0=start)
    values = values.astype(np.float32) + np.float32(1e-8)
    # the constant component's eigenvalue is 1
    return vectors.astype(np.float32) * (values / np.where(values == 1, 1, 1 - values))


def _one_type(graph: Any, batch: np.ndarray, k: int, n_components: int) -> float:
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import ArpackError

    n_parts, part = connected_components(graph, connection="strong")
    if n_parts > 1:
        kept = np.flatnonzero(np.bincount(part)[part] >= 3 * k)
        if len(kept) < 0.75 * len(part):
            return 0.0
        graph, batch = graph[kept][:, kept], batch[kept]
    try:
        components = check_embedding(diffusion_map(graph, n_components))
    except (ValueError, ArpackError):
        # as scib-metrics: no diffusion components, no mixing
        return 0.0
    return acceptance(nearest_neighbors(components, k + 1).indices, batch)
