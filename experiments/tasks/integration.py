"""Integration: the metrics of scib-metrics on one neighbour graph, and PCR comparison within types."""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.tasks.arrays import as_codes, check_embedding, finite_mean, nearest_neighbors
from experiments.tasks.jax_cache import drop_compilations
from experiments.tasks.kbet import kbet_per_label
from experiments.tasks.metrics import METRICS, View, in_group
from experiments.tasks.silhouette import silhouette_batch, silhouette_samples

BIO, BATCH = in_group("bio"), in_group("batch")
# not part of the total: other views of the same questions
EXTRA, MORE = in_group("extra"), in_group("more")
#: Batch scores of the total that unequal composition of the batches does not move, see docs/evaluation.md.
UNBIASED = tuple(n for n in BATCH if METRICS["integration", n].composition == "none")


def integration(
    embedding: Any, batch: Any, label: Any, unintegrated: Any, neighbors: Any = None, extra: bool = True
) -> dict[str, float]:
    """Score an embedding by the ten metrics of scib-metrics' `Benchmarker` and its aggregates.

    Parameters
    ----------
    embedding
        The embedding to judge, `(n_cells, n_dimensions)`.
    batch, label
        Batch and cell type of each cell, `(n_cells,)`, none missing.
    unintegrated
        PCA of the log-normalised data before integration, `(n_cells, n_components)`: PCR comparison's reference.
    neighbors
        `nearest_neighbors(embedding, 90)` where it was made before.
    extra
        Also compute the metrics that are not part of the total.

    Returns
    -------
    dict
        Metric name, as scib-metrics prints it, to value; "Bio conservation", "Batch correction" and
        "Total" = .6 bio + .4 batch. A metric that the data do not define (one batch, one label, too few cells)
        is NaN and left out of its mean, as in scib-metrics; the total is NaN where one of the two means is.

    Notes
    -----
    Luecken et al., Nature Methods 19, 41 (2022); BRAS: Rautenstrauch and Ohler (2025). Silhouettes of bits or of any
    embedding are Euclidean, BRAS is in cosine distance, both as the package's defaults.
    "PCR comparison within type" is PCR comparison inside each type, weighted by cells: it does not fall when the
    batches' compositions differ and the types separate well.
    """
    import scib_metrics

    drop_compilations()
    x = check_embedding(embedding)
    y, types = as_codes(label, len(x), "label")
    b, batches = as_codes(batch, len(x), "batch")
    before = check_embedding(unintegrated, len(x))
    graph = neighbors if neighbors is not None else nearest_neighbors(x, 90)
    few, middle = (graph.subset_neighbors(min(k, graph.n_neighbors)) for k in (15, 50))
    labels_differ = 1 < len(types) < len(x)
    batches_differ = 1 < len(batches) < len(x)
    crossed = any(1 < len(np.unique(b[y == t])) < np.sum(y == t) for t in range(len(types)))
    scores = dict.fromkeys((*BIO, *BATCH, *((*EXTRA, *MORE) if extra else ())), float("nan"))
    if labels_differ:
        clusters = scib_metrics.nmi_ari_cluster_labels_kmeans(x, y)
        scores["KMeans NMI"], scores["KMeans ARI"] = clusters["nmi"], clusters["ari"]
        silhouette = (silhouette_samples(x, y) + 1) / 2
        scores["Isolated labels"] = float(np.mean([silhouette[y == t].mean() for t in isolated(y, b)]))
        scores["Silhouette label"] = float(silhouette.mean())
        scores["cLISI"] = scib_metrics.clisi_knn(graph, y)
    scores["Graph connectivity"] = scib_metrics.graph_connectivity(few, y)
    if batches_differ:
        scores["iLISI"] = scib_metrics.ilisi_knn(graph, b)
        scores["PCR comparison"] = pcr_comparison(before, x, b)
        scores["KBET"] = kbet_per_label(middle, b, y)
    if crossed:
        scores["BRAS"] = silhouette_batch(x, y, b, "cosine", "mean_other")
    if extra:
        if labels_differ:
            clusters = scib_metrics.nmi_ari_cluster_labels_leiden(few, y, optimize_resolution=False)
            scores["Leiden NMI"], scores["Leiden ARI"] = clusters["nmi"], clusters["ari"]
        if crossed:
            scores["Silhouette batch"] = silhouette_batch(x, y, b)
        scores["PCR comparison within type"] = pcr_within_type(before, x, b, y)
        if labels_differ:
            scores |= kmeans(x, y)
        view = View(x, before, b, y, graph)
        scores |= {m.name: m.compute(view) for m in METRICS.values() if m.compute is not None and view.has(m.several)}
    scores = {name: float(value) if np.isfinite(value) else float("nan") for name, value in scores.items()}
    means = aggregate(scores)
    if not batches_differ:
        # graph connectivity alone says nothing of batches that are not there
        means |= {n: float("nan") for n in means if not n.startswith("Bio")}
    return {**scores, **means}


def kmeans(x: np.ndarray, label: np.ndarray, n_starts: int = 10, seed: int = 0) -> dict[str, float]:
    """Return agreement of k-means clusters with the types, the best of some starts by k-means' own criterion.

    Parameters
    ----------
    x
        Embedding, `(n_cells, n_dimensions)`.
    label
        Types, `(n_cells,)`; as many clusters as types.
    n_starts
        Starts; scib-metrics has one.
    seed
        Of the starts.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    clusters = KMeans(len(np.unique(label)), n_init=n_starts, random_state=seed).fit_predict(x)
    return {
        "KMeans NMI (10 starts)": float(normalized_mutual_info_score(label, clusters)),
        "KMeans ARI (10 starts)": float(adjusted_rand_score(label, clusters)),
    }


def isolated(label: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """Return the types that lie in the fewest batches."""
    types = np.unique(label)
    n_batches = np.array([len(np.unique(batch[label == t])) for t in types])
    return types[n_batches == n_batches.min()]


def aggregate(scores: dict[str, float]) -> dict[str, float]:
    """Return the means and the totals of a table of single scores.

    Parameters
    ----------
    scores
        Single scores by name; those that are not there or NaN are left out of their mean.

    Returns
    -------
    dict
        scIB's "Bio conservation", "Batch correction" and "Total"; and, where the scores of ten k-means starts are there,
        the same with them, and "(unbiased)" with the batch scores alone that composition does not move.
    """

    def mean(names: Any) -> float:
        return finite_mean(scores.get(m, float("nan")) for m in names)

    bio, batch = mean(BIO), mean(BATCH)
    means = {"Bio conservation": bio, "Batch correction": batch, "Total": 0.6 * bio + 0.4 * batch}
    if any("10 starts" in name for name in scores):
        steady, fair = mean(f"{m} (10 starts)" if m.startswith("KMeans") else m for m in BIO), mean(UNBIASED)
        means |= {
            "Bio conservation (10 starts)": steady,
            "Batch correction (unbiased)": fair,
            "Total (10 starts)": 0.6 * steady + 0.4 * batch,
            "Total (unbiased)": 0.6 * steady + 0.4 * fair,
        }
    return means


def pcr_comparison(before: np.ndarray, after: np.ndarray, batch: np.ndarray) -> float:
    """Return the share of the batch-explained variance that integration removed, clipped to [0, 1].

    (R2_before - R2_after) / R2_before, where R2 is the variance-weighted mean, over principal components, of the
    variance explained by the batch (Büttner et al. 2018). NaN where the batch explains nothing before.

    Parameters
    ----------
    before, after
        Coordinates, `(n_cells, k)`.
    batch
        Of each cell, `(n_cells,)`.
    """
    explained = batch_variance(before, batch)
    if not explained > 1e-12:
        return float("nan")
    left = batch_variance(after, batch)
    return float(np.clip((explained - left) / explained, 0, 1)) if np.isfinite(left) else float("nan")


def batch_variance(x: np.ndarray, batch: np.ndarray) -> float:
    """Return the share of an array's total variance that lies between batches; NaN for a constant array.

    Principal components rotate the array without changing it, so the variance-weighted mean of their R2 is the
    between-batch sum of squares over the total one; no decomposition is needed.
    """
    centred = np.asarray(x, dtype=np.float64)
    centred = centred - centred.mean(axis=0)
    total = float((centred**2).sum())
    if total <= 1e-12 * max(1.0, float((np.asarray(x, dtype=np.float64) ** 2).sum())):
        return float("nan")
    between = 0.0
    for value in np.unique(batch):
        rows = centred[batch == value]
        between += len(rows) * float((rows.mean(axis=0) ** 2).sum())
    return between / total


def pcr_within_type(before: np.ndarray, after: np.ndarray, batch: np.ndarray, label: np.ndarray) -> float:
    """Return PCR comparison inside each type with two batches or more, averaged by cells; NaN where there is none.

    Parameters
    ----------
    before, after
        Coordinates, `(n_cells, k)`.
    batch, label
        Of each cell, `(n_cells,)`.
    """
    scores, cells = [], []
    for value in np.unique(label):
        rows = np.flatnonzero(label == value)
        counts = np.unique(batch[rows], return_counts=True)[1]
        # a batch of one cell is explained by its mean whatever the embedding
        if len(counts) < 2 or (counts >= 5).sum() < 2:
            continue
        score = pcr_comparison(before[rows], after[rows], batch[rows])
        if np.isfinite(score):
            scores.append(score)
            cells.append(len(rows))
    return float(np.average(scores, weights=cells)) if scores else float("nan")
