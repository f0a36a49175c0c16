"""The features f(c) of a condition: zeros for the controls, sums over the parts of a combination."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from qbmvae.perturbation.features import Features

# most principal components of a table of features
N_COMPONENTS = 64


@dataclass(frozen=True)
class Conditions:
    """From labels to the rows that a conditional machine takes.

    Attributes
    ----------
    table
        Vectors of single perturbations.
    control
        Label whose row is zero.
    mean, basis
        Of the reduction: `(n_features,)` and `(n_features, k)`; a perturbation's row is [1, (vector - mean) basis], the
        1 being what all perturbations share. One-hot vectors stay as they are, without the 1.
    """

    table: Features
    control: str
    mean: np.ndarray
    basis: np.ndarray

    @property
    def width(self) -> int:
        """Length of a row."""
        return self.basis.shape[1] + (self.table.kind != "one-hot")

    def rows(self, labels: Iterable[str]) -> np.ndarray:
        """Return `(n_labels, width)`, the sum over a combination's parts; an unknown part is named."""
        out = []
        for label in labels:
            if label == self.control:
                out.append(np.zeros(self.width))
                continue
            parts = self.table.parts(label)
            self.table.lookup([label])  # names an unknown part
            vectors = (self.table.lookup(parts).astype(np.float64) - self.mean) @ self.basis
            if self.table.kind != "one-hot":
                vectors = np.hstack([np.ones((len(parts), 1)), vectors])
            out.append(vectors.sum(0))
        return np.array(out).reshape(-1, self.width)


def reduced(table: Features, known: Iterable[str], control: str) -> Conditions:
    """Return the conditions of a table, reduced to the principal components of the training perturbations' vectors.

    Parameters
    ----------
    table
        Vectors of the perturbations.
    known
        Labels seen in training.
    control
        Label of the controls.
    """
    if table.kind == "one-hot":
        return Conditions(table, control, np.zeros(table.width), np.eye(table.width))
    parts = sorted({part for label in known if label != control for part in table.parts(label)})
    values = table.lookup(parts).astype(np.float64)
    mean = values.mean(0)
    k = max(1, min(N_COMPONENTS, values.shape[1], len(values) - 1))
    _, spread, basis = np.linalg.svd(values - mean, full_matrices=False)
    # one scale for all: whitening would blow up the last components
    scale = spread[0] / np.sqrt(max(1, len(values) - 1)) or 1.0
    return Conditions(table, control, mean, basis[:k].T / scale)
