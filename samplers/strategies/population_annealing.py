"""Population annealing (Hukushima and Iba 2003; Machta 2010): a weighted population cooled from beta 0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from samplers.batch import BatchRequest, DrawsBatch
from samplers.checks import integer
from samplers.draws import Draws
from samplers.kernels.chains import Chains
from samplers.kernels.dispatch import compile_problem
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.strategies.weights import ess_share, log_mean_exp, resample_rows

#: The smallest population that is cooled; fewer reads are then drawn from it by their weights.
LEAST_POPULATION = 256

#: Resample below this share. Early resampling costs little noise (it is systematic), and later sweeps wash the noise of
#: the weights out: total variation of 12 spins at g = 3 after 64 sweeps is 1.28 x the floor with 0.5, 1.02 with 0.8,
#: 0.90 with 0.95.
ESS_FLOOR = 0.9


@dataclass
class Cooled:
    """Populations of `each` chains, one for each of k problems, at their final beta.

    Attributes
    ----------
    chains
        The chains of all problems, problem by problem, with their energies.
    log_weights
        `(k, each)`, zero after a resampling.
    log_z
        Estimates of log Z at the final beta, `(k,)`.
    families
        The ancestor of each chain at beta 0, `(k, each)`.
    resamplings
        How many, `(k,)`.
    """

    chains: Chains
    log_weights: np.ndarray
    log_z: np.ndarray
    families: np.ndarray
    resamplings: np.ndarray


class PopulationAnnealing(Sampler):
    """A weighted population cooled linearly from beta 0, resampled when its effective size falls below 90 %.

    Reads carry `log_weights`; `info` has `log_z`, `ess` (share of the population), `families` (surviving ancestors)
    and `resamplings`; for a batch each is a list with one value a problem.

    Parameters
    ----------
    num_sweeps
        Steps of beta, each with one sweep.
    device
        "cpu", or a torch device such as "cuda".
    """

    name = "population-annealing"

    def __init__(self, *, num_sweeps: int = 128, device: str = "cpu"):
        self.device = device
        self.num_sweeps = integer("num_sweeps", num_sweeps)

    def _draw(self, request: Request) -> Draws:
        rng, kernel = request.rng, compile_problem(request.problem, self.device)
        cooled = cool(kernel, max(request.num_reads, LEAST_POPULATION), request.beta, self.num_sweeps, rng)
        states, log_weights, info = self._reads(cooled, request.num_reads, rng)
        return Draws(states[0], log_weights[0] if log_weights.any() else None, info={k: v[0] for k, v in info.items()})

    def _draw_batch(self, request: BatchRequest) -> DrawsBatch:
        rng, kernel = request.rng, compile_problem(request.couplings, self.device)
        population = max(request.num_reads, LEAST_POPULATION)
        cooled = cool(kernel, population, request.beta, self.num_sweeps, rng, request.fields)
        cooled.log_z -= request.beta * request.offsets
        states, log_weights, info = self._reads(cooled, request.num_reads, rng)
        return DrawsBatch(states, log_weights if log_weights.any() else None, info=info)

    def _reads(self, cooled: Cooled, num_reads: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, dict]:
        """Return states `(k, num_reads, n)`, log-weights `(k, num_reads)`, and what is said of each problem."""
        k, each = cooled.log_weights.shape
        states, log_weights = cooled.chains.states().reshape(k, each, -1), cooled.log_weights
        info = {
            "num_sweeps": [self.num_sweeps] * k,
            "log_z": cooled.log_z.tolist(),
            "ess": ess_share(log_weights).tolist(),
            "families": [len(np.unique(families)) for families in cooled.families],
            "resamplings": cooled.resamplings.tolist(),
            "population": [each] * k,
        }
        if num_reads < each:
            rows = np.array([rng.permutation(resample_rows(weights, num_reads, rng)) for weights in log_weights])
            return np.take_along_axis(states, rows[:, :, None], axis=1), np.zeros((k, num_reads)), info
        return states, log_weights, info


def cool(
    kernel: Any, each: int, beta: float, num_sweeps: int, rng: np.random.Generator, fields: np.ndarray | None = None
) -> Cooled:
    """Return populations of a kernel, cooled from beta 0 to `beta` in equal steps.

    Parameters
    ----------
    kernel
        The compiled problem.
    each
        Chains of one population.
    beta
        The final inverse temperature.
    num_sweeps
        Steps of beta, each with one sweep.
    rng
        The generator.
    fields
        Fields of k problems that are added to the kernel's, `(k, n)`; None for the kernel's problem alone.
    """
    k = 1 if fields is None else len(fields)
    chains = kernel.random(k * each, rng)
    if fields is not None:
        chains.assign(fields)
    kernel.measure(chains)
    step = beta / num_sweeps
    log_weights, families = np.zeros((k, each)), np.tile(np.arange(each), (k, 1))
    log_z, resamplings = np.full(k, kernel.problem.n * np.log(2.0)), np.zeros(k, dtype=np.int64)
    for sweep in range(1, num_sweeps + 1):
        log_weights -= step * chains.energy().reshape(k, each)
        poor = ess_share(log_weights) < ESS_FLOOR
        if poor.any():
            low = np.flatnonzero(poor)
            resample(chains, log_weights, low, rng, families, log_z)
            resamplings[low] += 1
        kernel.sweep(chains, sweep * step)
    log_z += [log_mean_exp(weights) for weights in log_weights]
    return Cooled(chains, log_weights, log_z, families, resamplings)


def resample(
    chains: Chains,
    log_weights: np.ndarray,
    low: np.ndarray,
    rng: np.random.Generator,
    families: np.ndarray | None = None,
    log_z: np.ndarray | None = None,
) -> None:
    """Replace the chains of some problems by copies drawn by their weights, which become equal.

    Parameters
    ----------
    chains
        The chains of k problems; written.
    log_weights
        `(k, each)`; the rows of `low` are set to 0.
    low
        Which problems.
    rng
        The generator.
    families, log_z
        `(k, each)` ancestors, which follow the chains, and `(k,)` estimates, to which the mean weight is added.
    """
    k, each = log_weights.shape
    rows = np.arange(k * each).reshape(k, each)
    for p in low:
        own = resample_rows(log_weights[p], each, rng)
        rows[p] = p * each + own
        if families is not None:
            families[p] = families[p][own]
        if log_z is not None:
            log_z[p] += log_mean_exp(log_weights[p])
    chains.take(rows.reshape(-1))
    log_weights[low] = 0.0
