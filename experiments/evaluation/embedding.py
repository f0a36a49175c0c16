"""Score an embedding by every task; what does not depend on the embedding is in its reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.data.datasets import counts_of
from experiments.evaluation.cpu_clock import Clock
from experiments.evaluation.reference import TASKS, Reference
from experiments.tasks.arrays import check_embedding, nearest_neighbors

if TYPE_CHECKING:
    from anndata import AnnData


def score(
    embedding: Any,
    found: Reference,
    tasks: Sequence[str] = TASKS,
    classifiers: Sequence[str] = ("xgboost", "logistic", "knn"),
    pairs: Sequence[Sequence[str]] = (),
    seed: int = 0,
    clock: Clock | None = None,
) -> dict[str, dict[str, Any]]:
    """Score an embedding by the tasks that the data define.

    Parameters
    ----------
    embedding
        `(n_cells, n_dimensions)`, the rows of the reference.
    found
        What `reference` returned.
    tasks
        Of `TASKS`.
    classifiers
        Of `classification.CLASSIFIERS`; the first one's scores are the main ones.
    pairs
        Names of types that are hard to tell apart.
    seed
        Seed of folds, classifiers and clusters.
    clock
        Takes the time of each task.

    Returns
    -------
    dict
        Task to its scores; a task that the data do not define (no labels, one type, no time) is left out.
    """
    from experiments.tasks import clustering, integration, scgraph

    clock = clock or Clock()
    x = check_embedding(embedding, len(found.pca))
    with clock("neighbours"):
        graph = nearest_neighbors(x, 90)
    nothing = np.zeros(len(x), dtype=np.int64)
    scores: dict[str, dict[str, Any]] = {}
    if "integration" in tasks and found.label is not None:
        batch = nothing if found.batch is None else found.batch
        with clock("integration"):
            scores["integration"] = integration.integration(x, batch, found.label, found.pca, graph)
    if "scgraph" in tasks and len(found.consensus) > 2:
        with clock("scgraph"):
            scores["scgraph"] = scgraph.scgraph(x, found.label, found.consensus)
    if "clustering" in tasks and found.label is not None:
        with clock("clustering"):
            scores["clustering"] = clustering.clustering(x, found.label, graph, seed)
            scores["clustering"]["rare_types"] = clustering.rare_clusters(graph, found.label, seed)
    if "classification" in tasks and found.label is not None and len(np.unique(found.label)) > 1:
        with clock("classification"):
            scores["classification"] = classification_scores(x, found, classifiers, pairs, graph, seed)
    if "trajectory" in tasks and (found.times or found.targets is not None):
        with clock("trajectory"):
            scores["trajectory"] = trajectory_scores(x, found, seed)
    return scores


def classification_scores(
    x: np.ndarray, found: Reference, classifiers: Sequence[str], pairs: Any, graph: Any, seed: int
) -> dict[str, Any]:
    """Return the first classifier's scores over stratified folds, and those of the others and of held-out batches.

    Parameters
    ----------
    x, found
        Embedding `(n_cells, n_dimensions)` and reference.
    classifiers, pairs, seed
        As in `score`.
    graph
        Nearest neighbours of the embedding.
    """
    from experiments.tasks import classification as c
    from experiments.tasks.clustering import leiden

    label = found.label
    assert label is not None
    predicted = {name: c.cross_validate(x, label, name, seed=seed) for name in classifiers}
    main = predicted[classifiers[0]]
    scores: dict[str, Any] = {**c.classification_scores(label, main), "classifier": classifiers[0]}
    for name in classifiers[1:]:
        scores[name] = _summary(c.classification_scores(label, predicted[name]))
    if found.batch is not None and len(np.unique(found.batch)) > 1:
        held_out = c.cross_validate(x, label, classifiers[0], groups=found.batch, seed=seed)
        scores["held_out_batches"] = _summary(c.classification_scores(label, held_out))
    clusters = leiden(graph.subset_neighbors(min(15, graph.n_neighbors)).knn_graph_connectivities, 1.0, seed)
    scores["rare_types"] = c.rare_types(label, main, clusters)
    scores["close_pairs"] = {" / ".join(map(str, pair)): c.close_pair(label, main, pair, seed) for pair in pairs}
    return scores


def _summary(scores: dict[str, Any]) -> dict[str, Any]:
    return {k: scores[k] for k in ("f1", "f1_weighted", "accuracy", "balanced_accuracy")}


#: Neighbours of the second graph on which trajectories are scored.
WIDE = 30


def trajectory_scores(x: np.ndarray, found: Reference, seed: int = 0) -> dict[str, Any]:
    """Return conservation, a mean over the reference times, and regression of the real time or shares.

    Parameters
    ----------
    x, found
        Embedding `(n_cells, n_dimensions)` and reference.
    seed
        Of the folds.
    """
    from experiments.tasks.arrays import finite_mean
    from experiments.tasks.trajectory import conservation, time_regression

    batch = found.batch if found.per_batch else None
    rows = [
        conservation(x, time, roots, batch, found.branch, batches=found.batch)
        for time, roots in zip(found.times, found.roots, strict=True)
    ]
    scores: dict[str, Any] = {name: finite_mean(r[name] for r in rows) for name in (rows[0] if rows else {})}
    # a graph of few neighbours may hang on an edge: the score of a wider one shows whether the order itself is lost
    scores["score_wide"] = finite_mean(
        conservation(x, time, roots, batch, n_neighbors=WIDE)["score"]
        for time, roots in zip(found.times, found.roots, strict=True)
    )
    # a reference pseudotime is regressed too, but then the answer is the reference's own
    target = found.targets if found.targets is not None else np.column_stack(found.times)
    regression = time_regression(x, target, None if found.per_batch else found.batch, seed=seed)
    scores["regression_within"], scores["regression_across"] = regression["within"], regression["across"]
    return {**scores, "reference": found.time_source, "ground_truth": found.targets is not None}


def ceilings(adata: AnnData, found: Reference, layer: str | None = None, seed: int = 0) -> dict[str, Any]:
    """Return the noise ceilings of classification and pseudotime, batch by batch, and the bounds of the integration scores.

    Parameters
    ----------
    adata, found
        The scored cells and their reference.
    layer
        Where the counts are.
    seed
        Of the halves of counts.
    """
    from experiments.evaluation.bounds import integration_bounds
    from experiments.tasks import ceilings as c

    counts = counts_of(adata, layer)
    batch = np.zeros(adata.n_obs) if found.batch is None else found.batch
    result: dict[str, Any] = {}
    if found.label is not None and len(np.unique(found.label)) > 1:
        result["classification_f1"] = c.label_ceiling(counts, batch, found.label, seed=seed)
        result["integration"] = integration_bounds(found.pca, found.batch, found.label, counts, seed)
    if found.has_time:
        result["pseudotime_spearman"] = c.pseudotime_ceiling(counts, batch, found.roots[0][0], seed=seed)
    return result
