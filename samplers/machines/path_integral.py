"""Simulated quantum annealing: path-integral Monte Carlo of a transverse field that is turned off."""

from __future__ import annotations

import numpy as np

from samplers.checks import integer, positive
from samplers.machines.optimiser import Optimiser, coins
from samplers.machines.simulated_annealing import integer_bqm, ordered
from samplers.request import Request


class PathIntegralAnnealing(Optimiser):
    """Path-integral annealing of `dwave-samplers`: the problem is turned up to beta while the transverse field goes to 0.

    Parameters
    ----------
    num_sweeps
        Sweeps over all world lines in a run.
    transverse_field
        The transverse field at the start, in units of 1 / beta.
    correction_sweeps
        Gibbs sweeps that finish the reads; 0 gives the machine's raw reads.

    References
    ----------
    King et al. (2021), Nature Communications 12, 1113 (the path-integral code); Santoro et al. (2002), Science 295, 2427.
    """

    name = "path-integral-annealing"
    told = ("num_sweeps",)

    def __init__(self, num_sweeps: int = 100, *, transverse_field: float = 1.0, correction_sweeps: int = 5):
        self.num_sweeps = integer("num_sweeps", num_sweeps)
        self.transverse_field = positive("transverse_field", transverse_field)
        self.correction_sweeps = integer("correction_sweeps", correction_sweeps, 0)

    def _raw(self, request: Request, rng: np.random.Generator) -> np.ndarray:
        from dwave.samplers import PathIntegralAnnealingSampler

        if request.beta == 0:
            return coins(request.problem, request.num_reads, rng)
        progress = (np.arange(self.num_sweeps) + 1) / self.num_sweeps
        answer = PathIntegralAnnealingSampler().sample(
            integer_bqm(request.problem, request.beta),
            num_reads=request.num_reads,
            beta_schedule_type="custom",
            Hp_field=progress,
            Hd_field=self.transverse_field * (1 - progress),
            seed=int(rng.integers(2**31)),
        )
        return ordered(answer)
