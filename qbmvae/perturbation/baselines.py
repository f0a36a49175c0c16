"""What a predictor must beat: no change, the mean response, ridge regression on the features, the nearest perturbation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from qbmvae.perturbation.features import Features
from qbmvae.perturbation.groups import Groups
from qbmvae.perturbation.linear import ridge

BASELINES = ("no change", "mean response", "nearest perturbation", "ridge on features")


def perturbation_means(groups: Groups) -> tuple[np.ndarray, np.ndarray]:
    """Return the perturbations (P,) and their deltas averaged over contexts, (P, n_genes)."""
    names, inverse = np.unique(groups.labels, return_inverse=True)
    total = np.zeros((len(names), groups.delta.shape[1]))
    np.add.at(total, inverse, groups.delta)
    return names, total / np.bincount(inverse)[:, None]


def predict(name: str, groups: Groups, features: Features, labels: Sequence[str]) -> np.ndarray:
    """Return the deltas that a baseline, learned from the training `groups`, predicts for `labels`, (n_labels, n_genes).

    Parameters
    ----------
    name
        One of `BASELINES`. "nearest perturbation" is the training perturbation of the most similar features (cosine of
        the centred vectors), the perturbation itself where it was seen; without any similarity, the mean response.
    groups
        Of training.
    features
        Vectors of the perturbations.
    labels
        Perturbations to predict.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    known, deltas = perturbation_means(groups)
    mean = deltas.mean(0)
    if name == "no change":
        return np.zeros((len(labels), deltas.shape[1]))
    if name == "mean response":
        return np.tile(mean, (len(labels), 1))
    if name == "nearest perturbation":
        similarity = _similarity(features, known, labels)
        nearest = deltas[similarity.argmax(1)]
        return np.where((similarity.max(1) > 1e-9)[:, None], nearest, mean)
    table, wanted = features.lookup(known).astype(np.float64), features.lookup(labels).astype(np.float64)
    if name == "ridge on features":
        # penalty by leaving perturbations out, or contexts where a one-hot code says nothing of unseen perturbations
        folds = groups.contexts if features.kind == "one-hot" else groups.labels
        scale = table.std() or 1.0
        return ridge(features.lookup(groups.labels) / scale, groups.delta, folds).predict(wanted / scale)
    raise ValueError(f"no baseline {name!r}: {', '.join(BASELINES)}")


def nearest(groups: Groups, features: Features, label: str) -> str:
    """Return the training perturbation of the most similar features (cosine of the centred vectors).

    Parameters
    ----------
    groups
        Of training.
    features
        Vectors of the perturbations.
    label
        Perturbation whose neighbour is wanted.
    """
    known, _ = perturbation_means(groups)
    return str(known[_similarity(features, known, [label])[0].argmax()])


def _similarity(features: Features, known: Iterable[str], labels: Iterable[str]) -> np.ndarray:
    table, wanted = features.lookup(known).astype(np.float64), features.lookup(labels).astype(np.float64)
    centre = np.zeros(features.width) if features.kind == "one-hot" else table.mean(0)
    return _unit(wanted - centre) @ _unit(table - centre).T


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
