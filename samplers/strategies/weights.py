"""Importance weights of a population: effective size, mean, resampling."""

from __future__ import annotations

import numpy as np

from samplers.draws import systematic

#: Resample when the effective sample size falls below this share of the population.
ESS_FLOOR = 0.5


def log_mean_exp(log_weights: np.ndarray) -> float:
    """Return log of the mean of exp(log_weights)."""
    top = log_weights.max()
    return float(top + np.log(np.exp(log_weights - top).mean()))


def ess_share(log_weights: np.ndarray) -> np.ndarray:
    """Return Kish's effective sample size as a share of the population, in (0, 1], along the last axis."""
    return effective(np.exp(log_weights - log_weights.max(axis=-1, keepdims=True)))


def effective(weights: np.ndarray) -> np.ndarray:
    """Return the same of weights that need not sum to 1."""
    return weights.sum(axis=-1) ** 2 / np.square(weights).sum(axis=-1) / weights.shape[-1]


def resample_rows(log_weights: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """Return `num` row indices drawn by systematic resampling, `(num,)` int64.

    Parameters
    ----------
    log_weights
        `(rows,)`.
    num
        How many rows to draw.
    rng
        The generator.
    """
    weights = np.exp(log_weights - log_weights.max())
    return systematic(weights / weights.sum(), num, rng)
