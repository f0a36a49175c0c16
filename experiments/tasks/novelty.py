"""Out-of-distribution detection: does a score tell cells of a type that was held out of training from known ones?"""

from __future__ import annotations

from typing import Any

import numpy as np

from samplers.errors import InputError


def novelty(known: Any, novel: Any) -> dict[str, float]:
    """Score a score: the higher, the more foreign a cell should be.

    Parameters
    ----------
    known, novel
        Scores of held-out cells of known types and of the unknown type, `(n,)` and `(m,)`, finite.

    Returns
    -------
    dict
        "auroc" (.5 is chance), "average_precision" and its chance level "prevalence", "fpr95": share of known cells
        flagged when 95 % of the novel ones are.

    Raises
    ------
    InputError
        Where one side is empty, or a score is not finite.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    known, novel = (np.asarray(s, dtype=np.float64).ravel() for s in (known, novel))
    if not len(known) or not len(novel):
        raise InputError(f"novelty needs cells on both sides: {len(known)} known, {len(novel)} novel")
    both = np.concatenate([known, novel])
    if not np.isfinite(both).all():
        raise InputError(f"{int((~np.isfinite(both)).sum())} novelty scores are not finite")
    truth = np.repeat([0, 1], [len(known), len(novel)])
    return {
        "auroc": float(roc_auc_score(truth, both)),
        "average_precision": float(average_precision_score(truth, both)),
        "prevalence": len(novel) / len(both),
        "fpr95": float(np.mean(known >= np.quantile(novel, 0.05, method="lower"))),
    }


def knn_distance(train: np.ndarray, cells: np.ndarray, k: int = 15) -> np.ndarray:
    """Return each cell's mean distance to its k nearest training cells: the score that any embedding offers.

    Parameters
    ----------
    train, cells
        Embeddings, `(n, k)`.
    k
        Neighbours.
    """
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=min(k, len(train))).fit(train).kneighbors(cells)[0].mean(axis=1)
