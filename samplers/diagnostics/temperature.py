"""The effective inverse temperature of samples, by pseudo-likelihood."""

from __future__ import annotations

import numba
import numpy as np

from samplers.errors import InputError
from samplers.kernels.rng import FAST, exp_negative
from samplers.problem import Ising
from samplers.states import check_states

#: Beyond this the samples are local minima for all that pseudo-likelihood can tell.
LARGEST = 1e4


def effective_beta(problem: Ising, states: np.ndarray, *, weights: np.ndarray | None = None) -> tuple[float, float]:
    r"""Return the inverse temperature at which `states` are likeliest, and its standard error.

    Newton's method on the pseudo-likelihood (Besag 1975), the sum over reads and spins of
    :math:`\log \sigma(2 \beta s_i F_i)`; the error is the sandwich estimate over independent reads.
    It says how *wide* the samples are, not whether the modes have the right weights.

    Parameters
    ----------
    problem
        The Ising problem.
    states
        `(num_reads, n)` spins -1/+1.
    weights
        `(num_reads,)` multiplicities or importance weights, >= 0.

    Returns
    -------
    tuple
        (beta, standard error); (inf, inf) where every spin of every read is aligned with its field.

    Raises
    ------
    InputError
        For states of the wrong shape, or where all fields are zero: such a problem has no temperature.
    """
    states = check_states(states, problem.n)
    w = _weights(weights, len(states))
    aligned = aligned_fields(problem, states)
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
    return float(beta), float(np.sqrt(np.square(w * slopes).sum()) / curvature)


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
