"""The shift of mean expression that a condition's features predict: ridge regression over pseudobulks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qbmvae.perturbation.boltzmann.conditions import Conditions
from qbmvae.perturbation.groups import Groups
from qbmvae.perturbation.linear import KEPT_GAIN, ridge


class MeanShift(NamedTuple):
    """Shift of log1p-normalised expression: (row - mean) @ weights + intercept, 0 for controls; weights (width, n_genes)."""

    mean: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the shift of each row of `Conditions.rows`, `(n, n_genes)`."""
        return np.where(rows.any(1, keepdims=True), (rows - self.mean) @ self.weights + self.intercept, 0.0)


def mean_shift(conditions: Conditions, groups: Groups) -> MeanShift:
    """Fit the shifts of training groups, the penalty by groups that are left out.

    Contexts are left out where one-hot features say nothing of an unseen perturbation, else perturbations. The penalty is the
    least that keeps nearly all of the best one's gain: perturbations stay apart.
    """
    folds = groups.contexts if conditions.table.kind == "one-hot" else groups.labels
    found = ridge(conditions.rows(groups.labels), groups.delta, folds, kept_gain=KEPT_GAIN)
    return MeanShift(found.mean, found.weights, found.intercept)
