"""How far the scores of a likelihood fit, one a read, can be trusted for a standard error."""

from __future__ import annotations

import numpy as np


def inflation(scores: np.ndarray, weights: np.ndarray, size: float) -> float:
    """Return the factor by which a sandwich standard error is to be multiplied; infinite where reads do not differ.

    Parameters
    ----------
    scores
        Derivative of each read's log-likelihood at the optimum, `(num_reads,)`.
    weights
        Weights of the reads, >= 0.
    size
        The largest score that a read could have.

    Notes
    -----
    At the optimum the scores sum to 0, so that one read, or many copies of one, would have the error 0. The factor
    sqrt(m / (m - 1)), m being the effective number of reads, is that of the sample variance.
    """
    used = scores[weights > 0]
    if np.ptp(used) <= 1e-6 * size:
        return np.inf
    effective = float(weights.sum() ** 2 / np.square(weights).sum())
    return float(np.sqrt(effective / (effective - 1))) if effective > 1 + 1e-9 else np.inf
