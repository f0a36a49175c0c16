"""Every score once: its task, name, label, direction, what it means, and how the composition of the batches moves it.

Tables, reports, verdicts and documentation read this list, and integration computes what its entries say; a new metric of
integration is one function and one entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from experiments.tasks.mixing import cilisi, closest_pair, kni, rare_recall, separated
from experiments.tasks.perturbation_scores import PERTURBATION
from experiments.tasks.within_type import within_type

Group = Literal["", "bio", "batch", "total", "extra", "more"]
#: What happens to a score of a perfect integration when the batches hold the types in unequal shares.
Bias = Literal["none", "lowers", "raises"]


@dataclass(frozen=True)
class View:
    """What a score of integration sees.

    Attributes
    ----------
    x, before
        The embedding, `(n_cells, n_dimensions)`, and principal components before integration.
    batch, label
        Codes of each cell, `(n_cells,)`.
    graph
        The 90 nearest neighbours in the embedding, `scib_metrics.nearest_neighbors.NeighborsResults`.
    """

    x: np.ndarray
    before: np.ndarray
    batch: np.ndarray
    label: np.ndarray
    graph: Any

    def has(self, several: Iterable[Literal["batch", "label"]]) -> bool:
        """Return whether the cells are of several batches, or types, but not each of its own."""
        return all(1 < len(np.unique(getattr(self, name))) < len(self.x) for name in several)


@dataclass(frozen=True)
class Metric:
    """One score.

    Attributes
    ----------
    task
        The task that computes it, a key of the results.
    name
        Its name in the results; nested names are joined by ": ".
    label
        Its name in tables and headings.
    explain
        What it is, in one line.
    more
        Whether more is better; None where neither is.
    headline
        Whether it has a section of its own in a comparison's report and a row in its verdict.
    short
        Whether it is a column of short tables.
    group
        Integration only: the mean that it is part of.
    composition
        See `Bias`.
    count
        Whether it is a count, printed as an integer.
    decimals
        With how many it is printed in tables.
    compute
        Integration only: what computes it from a `View`, where no other score is computed on the way.
    several
        What there must be several of, "batch" or "label", for `compute`; NaN where there are not.
    """

    task: str
    name: str
    label: str
    explain: str
    more: bool | None = True
    headline: bool = False
    short: bool = False
    group: Group = ""
    composition: Bias = "none"
    count: bool = False
    decimals: int = 3
    compute: Callable[[View], float] | None = None
    several: tuple[Literal["batch", "label"], ...] = ()


def _integration() -> Iterable[Metric]:
    task = "integration"
    yield Metric(task, "Total", "Total", ".6 bio conservation + .4 batch correction, as scib-metrics defines them",
                 headline=True, short=True, group="total", composition="lowers")  # fmt: skip
    yield Metric(task, "Bio conservation", "bio conservation", "mean of the five scores of how well types are kept apart",
                 headline=True, short=True, group="total")  # fmt: skip
    yield Metric(task, "Batch correction", "batch correction", "mean of the five scores of how well batches are mixed",
                 headline=True, short=True, group="total", composition="lowers")  # fmt: skip
    for name, text in (
        ("Isolated labels", "silhouette of the types that lie in the fewest batches"),
        ("KMeans NMI", "agreement of one k-means run with the types, normalised mutual information"),
        ("KMeans ARI", "agreement of one k-means run with the types, adjusted Rand index"),
        ("Silhouette label", "how much closer a cell is to its own type than to the next one, 0 to 1"),
        ("cLISI", "whether a cell's neighbourhood holds one type only, 0 to 1"),
    ):
        yield Metric(task, name, name, text, group="bio")
    yield Metric(
        task,
        "BRAS",
        "BRAS",
        "1 - |silhouette of the batches| inside each type, against all other batches",
        group="batch",
    )
    yield Metric(
        task,
        "iLISI",
        "iLISI",
        "how many batches a cell's neighbourhood holds, 0 to 1",
        group="batch",
        composition="lowers",
    )
    yield Metric(
        task,
        "KBET",
        "kBET",
        "share of neighbourhoods inside a type whose batches pass a chi-square test",
        group="batch",
    )
    yield Metric(
        task,
        "Graph connectivity",
        "graph connectivity",
        "whether each type is one connected piece of the graph",
        group="batch",
    )
    yield Metric(task, "PCR comparison", "PCR comparison", "share of the variance between batches that integration removed; differences "
                 "of composition count as batch effect", group="batch", composition="lowers")  # fmt: skip
    for name, text in (
        ("Leiden NMI", "agreement of Leiden clusters with the types, normalised mutual information"),
        ("Leiden ARI", "agreement of Leiden clusters with the types, adjusted Rand index"),
        ("Silhouette batch", "1 - |silhouette of the batches| inside each type, against the nearest batch"),
    ):
        yield Metric(task, name, name, text, group="extra")
    yield Metric(task, "PCR comparison within type", "PCR comparison within type", "PCR comparison inside each type, so that composition "
                 "does not count", headline=True, group="extra")  # fmt: skip


def _court() -> Iterable[Metric]:
    """Yield scores that answer what scIB is blamed for; none is part of its means."""
    task = "integration"
    more: Group = "more"
    yield Metric(task, "Total (10 starts)", "Total, ten k-means starts", "Total with the best of ten k-means runs: a single run moves a set by .02 "
                 "to .05", headline=True, group=more, composition="lowers")  # fmt: skip
    yield Metric(task, "Total (unbiased)", "Total without composition", ".6 bio conservation with ten k-means starts + .4 the batch scores that "
                 "unequal composition does not move", headline=True, group=more)  # fmt: skip
    yield Metric(task, "Bio conservation (10 starts)", "bio conservation, ten k-means starts", "bio conservation with the best of ten k-means runs",
                 group=more)  # fmt: skip
    yield Metric(task, "Batch correction (unbiased)", "batch correction without composition", "mean of the batch scores that unequal "
                 "composition does not move", group=more)  # fmt: skip
    for name, text in (
        (
            "KMeans NMI (10 starts)",
            "agreement of the best of ten k-means runs with the types, normalised mutual information",
        ),
        ("KMeans ARI (10 starts)", "agreement of the best of ten k-means runs with the types, adjusted Rand index"),
    ):
        yield Metric(task, name, name, text, group=more)
    yield Metric(task, "Within-type conservation", "conservation inside types", "rank correlation of cells' distances before and after, inside "
                 "each type of each batch", headline=True, group=more,
                 compute=lambda v: within_type(v.x, v.before, v.batch, v.label))  # fmt: skip
    yield Metric(task, "CiLISI", "CiLISI", "how many batches a cell's neighbourhood holds, inside its type, 0 to 1", headline=True, group=more,
                 composition="lowers", several=("batch", "label"), compute=lambda v: cilisi(v.x, v.batch, v.label))  # fmt: skip
    yield Metric(task, "KNI", "KNI", "share of cells in a mixed neighbourhood whose type its cells of other batches tell", headline=True, group=more,
                 composition="lowers", several=("batch", "label"), compute=lambda v: kni(v.batch, v.label, v.graph))  # fmt: skip
    yield Metric(task, "Rare types", "rare types", "share of the nearest neighbours of the rare types' cells (5 % or less of all) that are of their "
                 "type", headline=True, group=more, compute=lambda v: rare_recall(v.label, v.graph))  # fmt: skip
    yield Metric(task, "Closest types", "closest two types", "how well neighbours tell the two types apart that lie closest before integration, .5 "
                 "by chance", headline=True, group=more, several=("label",), compute=_closest)  # fmt: skip


def _closest(v: View) -> float:
    pair = closest_pair(v.before, v.label, v.batch)
    return float("nan") if pair is None else separated(v.x, v.label, pair)


def _others() -> Iterable[Metric]:
    yield Metric("scgraph", "Weighted", "scGraph", "agreement of the distances between types with those inside single batches, "
                 "near types weigh more", headline=True, short=True)  # fmt: skip
    yield Metric("scgraph", "Rank", "scGraph, rank", "the same by Spearman's correlation")
    yield Metric("scgraph", "Correlation", "scGraph, unweighted", "the same by Pearson's correlation without weights")
    yield Metric("clustering", "ARI", "Leiden ARI", "agreement of Leiden clusters at resolution 1 with the types, adjusted Rand index",
                 headline=True)  # fmt: skip
    for name, text in (
        ("AMI", "adjusted mutual information of Leiden clusters and types"),
        ("NMI", "normalised mutual information of Leiden clusters and types"),
        ("homogeneity", "whether each Leiden cluster holds one type"),
        ("FMI", "Fowlkes-Mallows index of Leiden clusters and types"),
    ):
        yield Metric("clustering", name, name, text)
        yield Metric("clustering", f"{name} (best)", f"{name} (best)", f"{text}, at the resolution with the best NMI")
    yield Metric(
        "clustering", "ARI (best)", "ARI (best)", "Leiden ARI at the resolution with the best NMI, which sees the types"
    )
    yield Metric(
        "clustering", "clusters", "clusters", "number of Leiden clusters at resolution 1", more=None, count=True
    )
    yield Metric("clustering", "resolution (best)", "resolution (best)", "the resolution with the best NMI", more=None)
    for task, held in (("classification", "cells"), ("held-out-batches", "batches")):
        yield Metric(task, "f1", f"macro-F1 of held-out {held}", f"F1 of XGBoost on {held} that it did not see, every type weighing the same",
                     headline=True, short=held == "cells")  # fmt: skip
        for classifier, words in (("logistic", "logistic regression"), ("knn", "15 nearest neighbours")):
            yield Metric(task, f"{classifier}: f1", f"macro-F1 of held-out {held} by {words}", f"the same by {words}",
                         headline=classifier == "logistic")  # fmt: skip
        for name, text in (
            ("accuracy", "share of cells whose type is predicted"),
            ("balanced_accuracy", "recall, averaged over types"),
            ("precision", "precision, averaged over types"),
            ("recall", "recall, averaged over types"),
            ("f1_weighted", "F1, types weighted by their cells"),
            ("precision_weighted", "precision, types weighted by their cells"),
            ("recall_weighted", "recall, types weighted by their cells"),
        ):
            yield Metric(task, name, name.replace("_", " "), text)
    yield Metric("trajectory", "score", "trajectory conservation", "scIB: (1 + Spearman) / 2 of pseudotime on the embedding and the reference",
                 headline=True, short=True)  # fmt: skip
    yield Metric("trajectory", "score_wide", "trajectory conservation, 30 neighbours", "the same on a graph of 30 neighbours instead of 15: where the two "
                 "differ, the narrow graph hangs on few edges", headline=True)  # fmt: skip
    yield Metric("trajectory", "worst_batch", "trajectory of the worst batch", "the lowest Spearman's correlation of a batch, of pseudotime on the "
                 "joint embedding with the reference", headline=True)  # fmt: skip
    yield Metric("trajectory", "unreachable", "unreachable cells", "share of cells that the neighbour graph does not reach from the root",
                 more=False, headline=True)  # fmt: skip
    yield Metric("trajectory", "spearman", "Spearman", "correlation of pseudotime and reference, unreached cells at 0")
    yield Metric(
        "trajectory", "spearman_reachable", "Spearman, reachable", "the same over the cells that the graph reaches"
    )
    yield Metric("trajectory", "spearman_branches", "Spearman, branches", "the same inside each lineage, averaged")
    yield Metric("trajectory", "regression_within", "R2 of time from neighbours", "R2 of the reference time predicted from the 15 nearest cells",
                 headline=True)  # fmt: skip
    yield Metric("trajectory", "regression_across", "R2 of time from other batches", "the same, each batch predicted from the others",
                 headline=True)  # fmt: skip
    yield Metric(
        "generation",
        "elbo",
        "held-out ELBO",
        "bound on the log-likelihood of held-out counts, nats a cell",
        headline=True,
    )
    yield Metric("generation", "iwae", "held-out IWAE bound", "a tighter bound on the same")
    yield Metric("generation", "two_sample_knn", "accuracy at telling generated from real cells", "how often neighbours tell generated from real cells; .5 is best",
                 more=False, headline=True)  # fmt: skip
    for name, label, text, more in (
        ("mean_r", "means, r", "correlation over genes of the logarithms of the means, generated and real", True),
        ("variance_r", "variances, r", "correlation over genes of the logarithms of the variances", True),
        ("zeros_r", "zeros, r", "correlation over genes of the share of cells without a count", True),
        ("zeros_error", "zeros, error", "mean absolute difference of that share", False),
        ("depth_ks", "totals, distance", "Kolmogorov-Smirnov distance of the cells' total counts", False),
        ("correlation_r", "gene pairs, r", "correlation of the correlations between the 50 most variable genes", True),
        ("mmd", "kernel distance (MMD)", "squared maximum mean discrepancy of generated and real cells", False),
        ("type_share_error", "types, error", "total variation distance between the shares of the types", False),
    ):
        yield Metric("generation", name, label, text, more)
    yield Metric("generation", "marker_overlap", "marker recovery", "share of the types' 20 marker genes that generated cells have too",
                 headline=True)  # fmt: skip
    yield Metric(
        "novelty",
        "auroc",
        "AUROC of a novel type",
        "how well cells of a type that was held out are told from known ones",
        headline=True,
    )
    yield Metric(
        "novelty",
        "kNN distance: auroc",
        "AUROC of a novel type by distance",
        "the same by the distance to training cells",
    )


METRICS: dict[tuple[str, str], Metric] = {
    (m.task, m.name): m
    for m in (
        *_integration(),
        *_court(),
        *_others(),
        *(
            Metric("perturbation", name, label, meaning, better, decimals=digits)
            for name, label, meaning, better, digits in PERTURBATION
        ),
    )
}
HEADLINES = tuple(m for m in METRICS.values() if m.headline)
#: Columns of short tables.
SHORT = tuple(m for m in METRICS.values() if m.short)


def in_group(group: Group) -> tuple[str, ...]:
    """Return the names of the integration scores of a group, in order."""
    return tuple(m.name for m in METRICS.values() if m.group == group)


def find(task: str, name: str) -> Metric | None:
    """Return a score's entry; None for one that is not listed, such as the scores of a single type."""
    return METRICS.get((task, name))
