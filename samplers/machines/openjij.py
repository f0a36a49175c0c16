"""The annealers of the `openjij` package, scheduled to end at the beta that was asked for."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from samplers.checks import integer, one_of, positive
from samplers.errors import needs
from samplers.machines.optimiser import Optimiser
from samplers.machines.simulated_annealing import integer_bqm, ordered
from samplers.request import Request


class OpenJij(Optimiser):
    """Simulated ("sa") or simulated quantum ("sqa") annealing by `openjij`.

    Parameters
    ----------
    algorithm
        "sa" or "sqa".
    num_sweeps
        Sweeps in a run; beta rises over the first half and then stays ("sa").
    transverse_field
        The transverse field of "sqa" at the start of a run.
    correction_sweeps
        Gibbs sweeps that finish the reads; 0 gives the package's raw reads.

    Raises
    ------
    MissingExtraError
        Where `openjij` is not installed.

    Notes
    -----
    With `seed=`, `openjij` starts every read of a call from the same stream and returns identical reads. A seeded draw
    therefore makes one call a read; without a seed it makes one call.
    """

    name = "openjij"
    told = ("algorithm",)

    def __init__(
        self,
        algorithm: Literal["sa", "sqa"] = "sa",
        *,
        num_sweeps: int = 100,
        transverse_field: float = 1.0,
        correction_sweeps: int = 5,
    ):
        self.algorithm = one_of("algorithm", algorithm, ("sa", "sqa"))
        self.num_sweeps = integer("num_sweeps", num_sweeps)
        self.transverse_field = positive("transverse_field", transverse_field)
        self.correction_sweeps = integer("correction_sweeps", correction_sweeps, 0)
        self._package()

    @staticmethod
    def _package() -> Any:
        with needs("openjij", "machines"):
            import openjij
        return openjij

    def _raw(self, request: Request, rng: np.random.Generator) -> np.ndarray:
        problem, num_reads, beta = request.problem, request.num_reads, request.beta
        if beta == 0 or not len(problem.edges[0]):
            # openjij refuses models without couplings; their spins are independent
            up = rng.random((num_reads, problem.n)) < 1 / (1 + np.exp(2 * beta * problem.h))
            return np.where(up, 1, -1).astype(np.int8)
        bqm, child, options = integer_bqm(problem, beta), *self._annealer()
        if request.seed is None:
            return ordered(child.sample(bqm, num_reads=num_reads, **options))
        seeds = rng.integers(2**31, size=num_reads)
        return np.concatenate([ordered(child.sample(bqm, num_reads=1, seed=int(s), **options)) for s in seeds])

    def _annealer(self) -> tuple[Any, dict[str, Any]]:
        progress = (np.arange(self.num_sweeps) + 1) / self.num_sweeps
        if self.algorithm == "sa":
            schedule = [[float(min(1.0, 2 * s)), 1] for s in progress]
            return self._package().SASampler(), {"schedule": schedule}
        # rows of an SQA schedule: (s, beta, sweeps), s from the transverse field (0) to the problem (1)
        schedule = [[float(s), 1.0, 1] for s in progress]
        return self._package().SQASampler(), {"schedule": schedule, "gamma": self.transverse_field}
