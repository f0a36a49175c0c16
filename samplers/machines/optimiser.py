"""What machines that seek low energies share: Gibbs sweeps finish their reads."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from samplers.draws import Draws
from samplers.problem import Ising
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.wrappers.correction import correct


class Optimiser(Sampler):
    """Base of a machine whose reads are finished by Gibbs sweeps: a subclass writes `_raw`.

    Attributes
    ----------
    correction_sweeps
        Gibbs sweeps that finish the reads; 0 gives the machine's raw reads.
    told
        Options that `info` repeats.
    """

    kind = "optimiser"
    told: ClassVar[tuple[str, ...]] = ()
    correction_sweeps: int

    def _draw(self, request: Request) -> Draws:
        rng = request.rng
        states = self._raw(request, rng)
        info = {name: getattr(self, name) for name in (*self.told, "correction_sweeps")}
        return Draws(correct(request.problem, states, self.correction_sweeps, request.beta, rng), info=info)

    def _raw(self, request: Request, rng: np.random.Generator) -> np.ndarray:
        """Return the machine's own reads of a request, `(num_reads, n)` int8."""
        raise TypeError(f"{type(self).__name__} must write the method `_raw(self, request, rng)`")


def coins(problem: Ising, num_reads: int, rng: np.random.Generator) -> np.ndarray:
    """Return reads at beta 0, `(num_reads, n)` int8.

    Parameters
    ----------
    problem, num_reads
        How many spins, and reads of them.
    rng
        The generator.
    """
    return rng.choice(np.array([-1, 1], dtype=np.int8), (num_reads, problem.n))
