"""The temperature of reads with readout errors: a joint fit of beta and the flip rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from samplers.diagnostics.scores import inflation
from samplers.errors import InputError
from samplers.problem import Ising

#: the likelihood is summed over this many bins of the local field, at each bin's mean
BINS = 8192


@dataclass(frozen=True)
class Readout:
    """What `fit_readout` found.

    Attributes
    ----------
    beta, beta_error
        Inverse temperature of the reads with respect to the problem, and its standard error.
    flip, flip_error
        Probability that a spin is read with the wrong sign, and its standard error.
    """

    beta: float
    beta_error: float
    flip: float
    flip_error: float


def fit_readout(problem: Ising, states: np.ndarray, log_weights: np.ndarray | None = None) -> Readout:
    r"""Fit beta and the readout flip rate jointly.

    Each spin given the others follows :math:`p = \epsilon + (1 - 2\epsilon)\,\sigma(2 \beta s F)`, F being its local
    field: the pseudo-likelihood of a machine that reads a spin wrongly with probability :math:`\epsilon`. Plain
    pseudo-likelihood takes such flips for heat: at couplings of scale 2 one flip in a hundred costs a factor of 2.5.

    Parameters
    ----------
    problem
        The Ising problem.
    states
        Reads, `(num_reads, n)` in -1/+1.
    log_weights
        Weights of the reads, `(num_reads,)`.

    Returns
    -------
    Readout
        With standard errors of the sandwich form, the reads taken as independent; infinite where they do not differ.

    Raises
    ------
    InputError
        Where the reads cannot tell beta: no fields and no couplings.
    """
    states = np.asarray(states)
    weights = np.ones(len(states)) if log_weights is None else np.exp(log_weights - np.max(log_weights))
    weights = weights / weights.sum()
    x = states * problem.local_fields(states)
    # the scale of the fields makes the two parameters comparable
    unit = float(np.sqrt(np.mean(np.square(x)))) if x.size else 0.0
    if not unit:
        raise InputError("a problem without fields and couplings looks the same at every temperature")
    if x[weights > 0].min() >= 0:
        # every spin of every read is aligned with its field: colder than a likelihood can tell
        return Readout(np.inf, np.inf, 0.0, 0.0)
    x /= unit
    centres, counts = _bins(x, weights)
    fits = [_climb(centres, counts, start) for start in ((1.0, 0.002), (2.0, 0.05), (0.3, 0.002))]
    _, beta, flip = max(fits)
    errors = _errors(x, weights, beta, flip)
    return Readout(float(beta / unit), float(errors[0] / unit), float(flip), float(errors[1]))


def _bins(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = float(x.min()), float(x.max())
    bin_of = ((x - low) * ((BINS - 1) / max(high - low, 1e-12))).astype(np.int64).ravel()
    mass = np.repeat(weights, x.shape[1])
    counts = np.bincount(bin_of, weights=mass, minlength=BINS)
    sums = np.bincount(bin_of, weights=mass * x.ravel(), minlength=BINS)
    filled = counts > 0
    return sums[filled] / counts[filled], counts[filled]


def _terms(x: np.ndarray, beta: float, flip: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return p and its derivatives by beta and flip, each of the shape of x."""
    right = expit(2 * beta * x)
    p = np.clip(flip + (1 - 2 * flip) * right, 1e-12, 1 - 1e-12)
    return p, (1 - 2 * flip) * right * (1 - right) * 2 * x, 1 - 2 * right


def _climb(x: np.ndarray, counts: np.ndarray, start: tuple[float, float]) -> tuple[float, float, float]:
    """Return the largest log-likelihood per read, beta and flip, by Fisher scoring with halved steps."""
    here = np.array(start)
    value = float(counts @ np.log(_terms(x, *here)[0]))
    for _ in range(50):
        p, *derivatives = _terms(x, *here)
        score = np.array([counts @ (d / p) for d in derivatives])
        information = np.array([[counts @ (a * b / (p * (1 - p))) for b in derivatives] for a in derivatives])
        move = np.linalg.solve(information + 1e-9 * np.trace(information) * np.eye(2), score)
        if here[1] <= 0 and move[1] < 0:
            # at the bound of the flip rate: move beta alone
            move = np.array([score[0] / max(information[0, 0], 1e-12), 0.0])
        for _ in range(30):
            there = np.array([np.clip(here[0] + move[0], 0.0, 1e3), np.clip(here[1] + move[1], 0.0, 0.45)])
            reached = float(counts @ np.log(_terms(x, *there)[0]))
            if reached >= value:
                break
            move = move / 2
        gain, here, value = reached - value, there, max(reached, value)
        if gain < 1e-12 * max(1.0, abs(value)):
            break
    return value, float(here[0]), float(here[1])


def _errors(x: np.ndarray, weights: np.ndarray, beta: float, flip: float) -> np.ndarray:
    """Return the standard errors of beta and flip: inverse information around the variance of the reads' scores."""
    p, *derivatives = _terms(x, beta, flip)
    if flip <= 0:
        derivatives = derivatives[:1]
    spread = p * (1 - p)
    information = np.array([[weights @ (a * b / spread).sum(axis=1) for b in derivatives] for a in derivatives])
    scores = np.stack([(d / p).sum(axis=1) for d in derivatives], axis=1)
    factor = inflation(scores[:, 0], weights, 2 * float(np.abs(x).sum(axis=1).max()))
    meat = (scores * np.square(weights)[:, None]).T @ scores
    inverse = np.linalg.pinv(information)
    errors = np.sqrt(np.maximum(np.diag(inverse @ meat @ inverse), 0))
    errors = errors * factor if np.isfinite(factor) else np.full(len(errors), np.inf)
    return errors if flip > 0 else np.array([errors[0], 0.0])
