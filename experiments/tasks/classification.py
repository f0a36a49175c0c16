"""Classification: how well cell types are read from an embedding, by cells or batches that were held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from experiments.tasks.arrays import as_codes, check_embedding
from samplers.errors import InputError, nearest

CLASSIFIERS = ("xgboost", "logistic", "knn")


def predict(classifier: str, train: np.ndarray, label: np.ndarray, test: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the predicted labels of the test rows.

    Parameters
    ----------
    classifier
        "xgboost" in the setting of the QBM-VAE authors' public code (100 trees, depth 6, learning rate .1, hist),
        "logistic" (standardised, L2) or "knn" (15 neighbours, by distance).
    train, test
        Features, `(n_train, n_dimensions)` and `(n_test, n_dimensions)`.
    label
        Labels of the training rows, `(n_train,)`.
    seed
        Seed of the classifier.

    Raises
    ------
    InputError
        For an unknown classifier.
    """
    classes, y = np.unique(label, return_inverse=True)
    if len(classes) == 1:
        return np.repeat(classes, len(test))
    if classifier == "xgboost":
        from xgboost import XGBClassifier

        model: Any = XGBClassifier(
            n_estimators=100, max_depth=6, learning_rate=0.1, tree_method="hist", n_jobs=1, random_state=seed
        )
    elif classifier == "logistic":
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
    elif classifier == "knn":
        from sklearn.neighbors import KNeighborsClassifier

        model = KNeighborsClassifier(n_neighbors=min(15, len(y)), weights="distance")
    else:
        raise InputError(f"there is no classifier {classifier!r}{nearest(classifier, CLASSIFIERS)}")
    return classes[model.fit(train, y).predict(test)]


def folds(label: Any, groups: Any = None, n_folds: int = 5, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield row numbers of training and test cells.

    Parameters
    ----------
    label
        Labels, `(n_cells,)`; without `groups` each fold holds every label in its share.
    groups
        Batches or donors, `(n_cells,)`: each fold holds whole groups, at most `n_folds` folds.
    n_folds
        Number of folds.
    seed
        Seed of the assignment.

    Raises
    ------
    InputError
        Where there are too few cells or groups.
    """
    label = np.asarray(label)
    generator = np.random.default_rng(seed)
    if groups is None:
        if n_folds > len(label):
            raise InputError(f"{n_folds} folds need as many cells; there are {len(label)}")
        # dealt out label by label, each starting where the last one ended: a label smaller than the folds is no error
        order = np.concatenate([generator.permutation(np.flatnonzero(label == v)) for v in np.unique(label)])
        assigned = np.empty(len(label), dtype=np.int64)
        assigned[order] = np.arange(len(label)) % n_folds
    else:
        names, codes = np.unique(np.asarray(groups), return_inverse=True)
        if len(names) < 2:
            raise InputError(f"held-out groups need two groups or more; there is only {str(names[0])!r}")
        # largest group first, each to the fold with the fewest cells so far
        sizes, filled = np.bincount(codes), np.zeros(min(n_folds, len(names)))
        fold_of = np.empty(len(names), dtype=np.int64)
        for g in np.lexsort((generator.permutation(len(names)), -sizes)):
            fold_of[g] = int(np.argmin(filled))
            filled[fold_of[g]] += sizes[g]
        assigned = fold_of[codes]
    for fold in range(assigned.max() + 1):
        yield np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold)


def cross_validate(
    embedding: Any, label: Any, classifier: str = "xgboost", groups: Any = None, n_folds: int = 5, seed: int = 0
) -> np.ndarray:
    """Return each cell's label as predicted by a classifier that did not see it, `(n_cells,)` strings.

    The embedding is taken as it is: whether its encoder saw the test cells is the caller's to state.

    Parameters
    ----------
    embedding, label
        `(n_cells, n_dimensions)` and `(n_cells,)`.
    classifier
        Of `CLASSIFIERS`.
    groups
        Held out as wholes; cells by default.
    n_folds, seed
        Of the folds.
    """
    x = check_embedding(embedding)
    y, names = as_codes(label, len(x), "label")
    predicted = np.empty(len(y), dtype=np.int64)
    for train, test in folds(y, groups, n_folds, seed):
        predicted[test] = predict(classifier, x[train], y[train], x[test], seed)
    return names[predicted]


def classification_scores(label: Any, predicted: Any) -> dict[str, Any]:
    """Return the scores of predicted labels.

    Returns
    -------
    dict
        "accuracy", "balanced_accuracy", "precision", "recall", "f1" (all macro: every type counts the same),
        "precision_weighted", "recall_weighted", "f1_weighted", and "per_class": type to precision, recall, f1 and
        number of cells. A type that is only predicted, never true, does not enter the macro means.

    Raises
    ------
    InputError
        Where labels and predictions are of different cells.
    """
    from sklearn.metrics import precision_recall_fscore_support

    label, predicted = np.asarray(label).astype(str), np.asarray(predicted).astype(str)
    if label.shape != predicted.shape or not len(label):
        raise InputError(f"{len(predicted)} predictions for {len(label)} cells: give one a cell, and at least one cell")
    types = np.unique(label)
    parts = precision_recall_fscore_support(label, predicted, labels=types, zero_division=0.0)
    precision, recall, f1, support = (np.asarray(p, dtype=np.float64) for p in parts)
    share = support / support.sum()
    return {
        "accuracy": float(np.mean(label == predicted)),
        "balanced_accuracy": float(recall.mean()),
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
        "f1": float(f1.mean()),
        "precision_weighted": float(precision @ share),
        "recall_weighted": float(recall @ share),
        "f1_weighted": float(f1 @ share),
        "per_class": {
            str(t): {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "cells": int(support[i]),
            }
            for i, t in enumerate(types)
        },
    }


def close_pair(label: Any, predicted: Any, pair: Sequence[str], seed: int = 0, draws: int = 1000) -> dict[str, float]:
    """Return how well two named types are told apart, with a 95 % bootstrap interval over cells.

    The score is the mean of the two types' recalls among the cells that truly belong to one of them (chance .5 where
    every prediction falls on the pair).

    Parameters
    ----------
    label, predicted
        Types, `(n_cells,)`.
    pair
        The two types.
    seed, draws
        Of the bootstrap.

    Raises
    ------
    InputError
        For a type without cells.
    """
    label, predicted = np.asarray(label).astype(str), np.asarray(predicted).astype(str)
    hits = []
    for name in pair:
        rows = label == name
        if not rows.any():
            raise InputError(f"there is no cell of type {name!r}{nearest(name, np.unique(label))}")
        hits.append((predicted[rows] == name).astype(np.float64))
    generator = np.random.default_rng(seed)
    drawn = np.mean([h[generator.integers(len(h), size=(draws, len(h)))].mean(axis=1) for h in hits], axis=0)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"balanced_accuracy": float(np.mean([h.mean() for h in hits])), "low": float(low), "high": float(high)}


def rare_types(label: Any, predicted: Any, clusters: Any = None, share: float = 0.02) -> dict[str, dict[str, float]]:
    """Return, for every type with less than a `share` of the cells, recall, F1 and the best cluster's F1.

    Parameters
    ----------
    label, predicted
        True and predicted types, `(n_cells,)`.
    clusters
        Clusters of the same cells, for instance `clustering.leiden`; without them no cluster F1.
    share
        What counts as rare.
    """
    from experiments.tasks.clustering import best_cluster_f1

    label = np.asarray(label).astype(str)
    per_class = classification_scores(label, predicted)["per_class"]
    found = {}
    for name, scores in per_class.items():
        if scores["cells"] < share * len(label):
            found[name] = {"recall": scores["recall"], "f1": scores["f1"], "cells": float(scores["cells"])}
            if clusters is not None:
                found[name]["cluster_f1"] = best_cluster_f1(clusters, label, name)
    return found
