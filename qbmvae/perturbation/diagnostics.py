"""Has a predictor collapsed? Principal components, participation ratio and similarity of its predictions."""

from __future__ import annotations

import numpy as np


def participation_ratio(effects: np.ndarray) -> float:
    """Return (sum of eigenvalues)^2 / (sum of their squares) of the covariance of effects (P, n_genes).

    The number of directions in which perturbations differ: 1 is a line, P - 1 the most.
    """
    centred = np.asarray(effects, np.float64) - np.mean(effects, axis=0)
    values = np.linalg.svd(centred, compute_uv=False) ** 2
    total = values.sum()
    # identical predictions leave only rounding
    rounding = 1e-12 * np.square(np.asarray(effects, np.float64)).sum()
    return float(total**2 / (values**2).sum()) if total > rounding else 0.0


def similarity(profiles: np.ndarray) -> np.ndarray:
    """Return Pearson correlations between perturbations, (P, P), of effects or of expression profiles (P, n_genes)."""
    centred = np.asarray(profiles, np.float64)
    centred = centred - centred.mean(1, keepdims=True)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return unit @ unit.T


def between_similarity(profiles: np.ndarray) -> float:
    """Return the mean correlation of two different perturbations; 1 means that all predictions are alike."""
    matrix = similarity(profiles)
    n = len(matrix)
    return float((matrix.sum() - np.trace(matrix)) / (n * (n - 1))) if n > 1 else float("nan")


def principal_coordinates(effects: np.ndarray, n_components: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates (P, n_components) and the share of variance of each component."""
    centred = np.asarray(effects, np.float64) - np.mean(effects, axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    share = s**2 / max((s**2).sum(), 1e-300)
    return u[:, :n_components] * s[:n_components], share[:n_components]


def collapse_report(predicted: np.ndarray, observed: np.ndarray, control: np.ndarray) -> dict[str, float]:
    """Return the diagnostics of predicted and observed effects, both (P, n_genes), `control` being the basal profile.

    "similarity" compares predicted expression profiles (control plus effect), as the prototype's page does;
    "effect_similarity" the effects alone.

    Parameters
    ----------
    predicted, observed
        Effects, `(P, n_genes)`.
    control
        Basal profile, `(n_genes,)`.
    """
    out = {}
    for which, effects in (("predicted", predicted), ("observed", observed)):
        out[f"{which}_participation_ratio"] = participation_ratio(effects)
        out[f"{which}_similarity"] = between_similarity(effects + control)
        out[f"{which}_effect_similarity"] = between_similarity(effects)
    return out
