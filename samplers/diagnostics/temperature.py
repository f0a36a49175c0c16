"""The effective inverse temperature of samples, by pseudo-likelihood."""

from __future__ import annotations

import dimod
import numba
import numpy as np
from numpy.typing import ArrayLike

from samplers.diagnostics.scores import inflation
from samplers.draws import Draws
from samplers.errors import InputError
from samplers.kernels.rng import FAST, exp_negative
from samplers.problem import Ising
from samplers.states import check_states

#: In units of one over the largest coefficient. Beyond this the samples are local minima for all that pseudo-likelihood can tell.
LARGEST = 1e4


def effective_beta(
    problem: Ising, states: ArrayLike | Draws | dimod.SampleSet, *, weights: np.ndarray | None = None
) -> tuple[float, float]:
    r"""Return the inverse temperature at which `states` are likeliest, and its standard error.

    Newton's method on the pseudo-likelihood (Besag 1975), the sum over reads and spins of
    :math:`\log \sigma(2 \beta s_i F_i)`; the error is the sandwich estimate over independent reads.
    It says how *wide* the samples are, not whether the modes have the right weights.

    Parameters
    ----------
    problem
        The Ising problem.
    states
        `(num_reads, n)` spins -1/+1, `Draws`, or a `dimod.SampleSet`.
    weights
        `(num_reads,)` multiplicities or importance weights, >= 0; those of `Draws` by default.

    Returns
    -------
    tuple
        (beta, standard error); (inf, inf) where every spin of every read is aligned with its field. The error is
        infinite where the reads do not differ: one read, or copies of one, tell no error.

    Raises
    ------
    InputError
        For states of the wrong shape, or where all fields are zero: such a problem has no temperature.
    """
    if isinstance(states, Draws) and weights is None:
        weights = states.weights
    states = check_states(states, problem.labels)
    w = _weights(weights, len(states))
    unit = max(np.abs(problem.h).max(initial=0.0), np.abs(problem.edges[2]).max(initial=0.0))
    # in units of the largest coefficient float32 neither overflows nor vanishes
    aligned = aligned_fields(problem.scaled(1.0 / unit), states) if unit else np.zeros((1, 1), np.float32)
    if not aligned.any():
        raise InputError("effective_beta needs fields or couplings: every local field of these states is zero")
    if aligned[w > 0].min() >= 0:
        return np.inf, np.inf
    beta, slopes = 0.0, np.empty(len(states))
    for _ in range(100):
        slope, curvature = _newton(aligned, w, np.float32(beta), slopes)
        # the log-likelihood is concave; far from the maximum its curvature vanishes, so steps are held to a factor
        step = np.clip(slope / curvature, -1.0 - abs(beta), 1.0 + abs(beta))
        beta += step
        # steps square: after one of 1e-4 what is left is 1e-8
        if abs(step) <= 1e-4 * max(1.0, abs(beta)) or abs(beta) > LARGEST:
            break
    if abs(beta) > LARGEST:
        return float(np.copysign(np.inf, beta)), np.inf
    factor = inflation(slopes, w, 2 * float(np.abs(aligned).sum(axis=1).max()))
    error = float(np.sqrt(np.square(w * slopes).sum()) / curvature)
    return float(beta / unit), factor * error / unit if np.isfinite(factor) else np.inf


def aligned_fields(problem: Ising, states: np.ndarray) -> np.ndarray:
    """Return s_i F_i of every read, `(num_reads, n)` float32: positive where a spin agrees with its field."""
    spins = states.astype(np.float32)
    pushed = problem.coupled.map(lambda values: values.astype(np.float32)).couple(spins)
    return -spins * (pushed + problem.h.astype(np.float32))


def _weights(weights: np.ndarray | None, num: int) -> np.ndarray:
    if weights is None:
        return np.ones(num)
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (num,) or not np.isfinite(w).all() or (w < 0).any() or not w.any():
        raise InputError(f"weights must be {num} finite numbers >= 0, not all zero")
    return w


@numba.njit(fastmath=FAST | {"reassoc"}, cache=True, nogil=True)
def _newton(aligned, weights, beta, slopes):
    """Return the weighted slope and curvature of the log pseudo-likelihood; write the slope of each read."""
    slope, curvature = 0.0, 0.0
    two, one = np.float32(2.0), np.float32(1.0)
    for r in range(aligned.shape[0]):
        g, c = np.float32(0.0), np.float32(0.0)
        for i in range(aligned.shape[1]):
            x = two * aligned[r, i]
            e = exp_negative(-beta * x)
            q = one / (one + e)  # sigma(-beta x)
            g += x * q
            c += x * x * q * (one - q)
        slopes[r] = g
        slope += weights[r] * g
        curvature += weights[r] * c
    return slope, curvature + 1e-300
