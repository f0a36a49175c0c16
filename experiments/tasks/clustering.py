"""Clustering: Leiden communities of the neighbour graph against the known types."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from experiments.tasks.arrays import as_codes, check_embedding, nearest_neighbors

RESOLUTIONS = tuple(round(0.2 * i, 1) for i in range(1, 11))


def leiden(graph: Any, resolution: float = 1.0, seed: int = 0) -> np.ndarray:
    """Return Leiden communities (modularity) of a neighbour graph, `(n_cells,)`.

    Parameters
    ----------
    graph
        Symmetric sparse weights, `(n_cells, n_cells)`.
    resolution
        Larger finds more communities.
    seed
        Seed of the search.
    """
    import igraph
    from scipy.sparse import triu

    upper = triu(graph, k=1).tocoo()
    network = igraph.Graph(n=graph.shape[0], edges=np.column_stack([upper.row, upper.col]).tolist())
    igraph.set_random_number_generator(random.Random(seed))
    try:
        found = network.community_leiden(
            objective_function="modularity", weights=upper.data.tolist(), resolution=resolution, n_iterations=2
        )
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(found.membership)


def agreement(clusters: Any, label: Any) -> dict[str, float]:
    """Return how well a partition agrees with the types: ARI, AMI, NMI, homogeneity, Fowlkes-Mallows index."""
    from sklearn import metrics

    return {
        "ARI": float(metrics.adjusted_rand_score(label, clusters)),
        "AMI": float(metrics.adjusted_mutual_info_score(label, clusters)),
        "NMI": float(metrics.normalized_mutual_info_score(label, clusters)),
        "homogeneity": float(metrics.homogeneity_score(label, clusters)),
        "FMI": float(metrics.fowlkes_mallows_score(label, clusters)),
    }


def clustering(embedding: Any, label: Any, neighbors: Any = None, seed: int = 0) -> dict[str, float]:
    """Score Leiden communities of the 15-neighbour graph against the types.

    Parameters
    ----------
    embedding
        `(n_cells, n_dimensions)`.
    label
        Type of each cell, `(n_cells,)`, none missing.
    neighbors
        `nearest_neighbors(embedding, k >= 15)` where it was made before.
    seed
        Seed of the communities.

    Returns
    -------
    dict
        `agreement` at resolution 1, which sees no labels; the same with the suffix " (best)" at the resolution of
        .2, .4 ... 2 with the best NMI, scIB's convention, which does; "clusters" and "resolution (best)".
    """
    x = check_embedding(embedding)
    y, _ = as_codes(label, len(x), "label")
    graph = neighbors if neighbors is not None else nearest_neighbors(x, 15)
    weights = graph.subset_neighbors(min(15, graph.n_neighbors)).knn_graph_connectivities
    found = {r: leiden(weights, r, seed) for r in RESOLUTIONS}
    scores = {r: agreement(c, y) for r, c in found.items()}
    best = max(RESOLUTIONS, key=lambda r: scores[r]["NMI"])
    return {
        **scores[1.0],
        "clusters": float(len(np.unique(found[1.0]))),
        **{f"{name} (best)": value for name, value in scores[best].items()},
        "resolution (best)": best,
    }


def best_cluster_f1(clusters: Any, label: Any, value: Any) -> float:
    """Return the F1 of the cluster that matches one type best: scIB's isolated-label F1 at one resolution.

    Parameters
    ----------
    clusters, label
        Of each cell, `(n_cells,)`.
    value
        The type.
    """
    clusters, inside = np.asarray(clusters), np.asarray(label) == value
    best = 0.0
    for c in np.unique(clusters[inside]):
        hit = np.sum(inside & (clusters == c))
        best = max(best, 2 * hit / (np.sum(clusters == c) + inside.sum()))
    return float(best)


def rare_clusters(neighbors: Any, label: Any, seed: int = 0, share: float = 0.02) -> dict[str, dict[str, float]]:
    """Return, for every type with less than a `share` of the cells, the F1 of the cluster that matches it best.

    Parameters
    ----------
    neighbors
        `nearest_neighbors(embedding, k >= 15)`; Leiden communities of its 15-neighbour graph at resolution 1.
    label
        Types, `(n_cells,)`.
    seed
        Seed of the communities.
    share
        What counts as rare.
    """
    label = np.asarray(label).astype(str)
    names, counts = np.unique(label, return_counts=True)
    rare = names[counts < share * len(label)]
    if not len(rare):
        return {}
    clusters = leiden(neighbors.subset_neighbors(min(15, neighbors.n_neighbors)).knn_graph_connectivities, 1.0, seed)
    return {str(n): {"cluster_f1": best_cluster_f1(clusters, label, n)} for n in rare}
