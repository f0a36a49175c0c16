"""Score an embedding by every task; what does not depend on the embedding is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.data.datasets import counts_of, log_normalised, require_key, unintegrated_pca
from experiments.evaluation.cpu_clock import Clock
from experiments.tasks.arrays import check_embedding, nearest_neighbors, stratified_subsample
from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

#: How the source of a time ends that is made from the data alone.
DIAGNOSTIC = "a diagnostic only"
TASKS = ("integration", "scgraph", "clustering", "classification", "trajectory")


@dataclass
class Reference:
    """What an embedding of these cells is judged against.

    Attributes
    ----------
    batch, label
        Of each cell, `(n_cells,)`, or None.
    pca
        Before integration, `(n_cells, n_components)`.
    consensus
        scGraph's distances between types; empty where no batch is large enough.
    time, targets, roots
        Reference times, one or more `(n_cells,)` arrays NaN where unknown; regression targets `(n_cells, n_targets)`;
        rows of root cells, a list for each time.
    branch
        Lineage of each cell, or None.
    time_source
        Where the reference time comes from, in words.
    per_batch
        Whether the time is comparable inside a batch only.
    """

    batch: np.ndarray | None
    label: np.ndarray | None
    pca: np.ndarray
    consensus: pd.DataFrame = field(default_factory=pd.DataFrame)
    times: list[np.ndarray] = field(default_factory=list)
    targets: np.ndarray | None = None
    roots: list[list[int]] = field(default_factory=list)
    branch: np.ndarray | None = None
    time_source: str = ""
    per_batch: bool = False

    @property
    def has_time(self) -> bool:
        """Whether the reference time is known or starts at a root that is known."""
        return bool(self.times) and not self.time_source.endswith(DIAGNOSTIC)


def usable_cells(adata: AnnData, keys: Sequence[str | None], n_max: int, seed: int = 0) -> np.ndarray:
    """Return rows of at most `n_max` cells that have a value in every key, stratified by batch and type together.

    Parameters
    ----------
    adata
        The cells.
    keys
        Columns that must have a value; None is skipped.
    n_max
        Most cells.
    seed
        Of the subsample.

    Raises
    ------
    InputError
        Where no cell has them all.
    """
    present = np.ones(adata.n_obs, dtype=bool)
    strata = pd.Series("", index=range(adata.n_obs))
    for key in keys:
        if key is not None:
            require_key(adata, key)
            present &= adata.obs[key].notna().to_numpy()
            strata += "\x00" + adata.obs[key].astype(str).reset_index(drop=True)
    rows = np.flatnonzero(present)
    if not len(rows):
        raise InputError(f"no cell has a value in {', '.join(repr(k) for k in keys if k)}")
    return rows[stratified_subsample(strata.to_numpy()[rows], n_max, seed)]


def reference(
    adata: AnnData,
    batch_key: str | None = None,
    label_key: str | None = None,
    layer: str | None = None,
    time_keys: Sequence[str] = (),
    root: str | int | None = None,
    branch_key: str | None = None,
    tasks: Sequence[str] = TASKS,
    n_roots: int = 3,
) -> Reference:
    """Return what embeddings of these cells are judged against.

    Parameters
    ----------
    adata
        Counts with obs; every cell has batch and label where their keys are given.
    batch_key, label_key, layer
        Where batch, type and counts are.
    time_keys
        obs columns of real time; or several of known mixture shares, each a path that starts at its largest value.
    root
        Root cell by name or row, for a reference pseudotime made batch by batch; `uns["iroot"]` by default; without
        either, the cell at the end of the first principal component, which is a diagnostic and no ground truth.
    branch_key
        obs column of lineages.
    tasks
        Which tasks will be scored.
    n_roots
        Root cells over which trajectory scores are averaged.

    Raises
    ------
    InputError
        For a column or a root that is not there, or a time that is no number.
    """
    from experiments.tasks.scgraph import consensus
    from experiments.tasks.trajectory import pick_roots, reference_pseudotime

    batch = None if batch_key is None else adata.obs[batch_key].astype(str).to_numpy()
    label = None if label_key is None else adata.obs[label_key].astype(str).to_numpy()
    found = Reference(batch, label, unintegrated_pca(adata, layer))
    if "scgraph" in tasks and batch is not None and label is not None:
        found.consensus = consensus(log_normalised(adata, layer).X, batch, label)
    if branch_key is not None:
        require_key(adata, branch_key)
        lineage = adata.obs[branch_key].astype(object)
        found.branch = lineage.where(~lineage.astype(str).isin(["", "NA", "nan"]), None).to_numpy(dtype=object)
    if "trajectory" not in tasks:
        return found
    if time_keys:
        columns = []
        for key in time_keys:
            require_key(adata, key)
            columns.append(pd.to_numeric(adata.obs[key], errors="coerce").to_numpy(dtype=float))
            if np.isfinite(columns[-1]).sum() < 3:
                raise InputError(f"obs[{key!r}] is no time: fewer than three cells have a number there")
        found.targets = np.column_stack(columns)
        # a share falls along its path, which starts where it is largest
        found.times = columns if len(columns) == 1 else [-c for c in columns]
        found.time_source = "obs " + ", ".join(repr(k) for k in time_keys)
    else:
        start, found.time_source = _root(adata, found.pca, root)
        zeros = np.zeros(adata.n_obs) if batch is None else batch
        time = reference_pseudotime(found.pca, zeros, start)
        if np.isfinite(time).sum() < 3:
            found.time_source = ""
            return found
        found.times, found.per_batch = [time], batch is not None
    found.roots = [pick_roots(t, n_roots, batch if found.per_batch else None) for t in found.times]
    return found


def _root(adata: AnnData, pca: np.ndarray, root: str | int | None) -> tuple[int, str]:
    if root is None and "iroot" in adata.uns:
        root = int(adata.uns["iroot"])
    if root is None:
        return int(np.argmax(pca[:, 0])), f"pseudotime from the end of the first principal component: {DIAGNOSTIC}"
    row = root_row(adata, root)
    return row, f"pseudotime of each batch from cell {adata.obs_names[row]!r}"


def root_row(adata: AnnData, root: str | int) -> int:
    """Return the row of a root cell that is given by its name or row.

    Raises
    ------
    InputError
        Where there is none.
    """
    names = pd.Index(adata.obs_names.astype(str))
    if str(root) in names:
        return int(names.get_loc(str(root)))
    if str(root).isdigit() and int(root) < adata.n_obs:
        return int(root)
    raise InputError(f"there is no root cell {root!r}: give a name of obs_names or a row below {adata.n_obs}")


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
