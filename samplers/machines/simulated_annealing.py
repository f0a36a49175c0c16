"""Simulated annealing of `dwave-samplers`, with a schedule that ends at the beta that was asked for."""

from __future__ import annotations

from typing import Any, Literal

import dimod
import numpy as np

from samplers.checks import integer, one_of, share
from samplers.draws import Draws
from samplers.machines.optimiser import coins
from samplers.problem import Ising
from samplers.request import Request
from samplers.sampler import Sampler


class SimulatedAnnealing(Sampler):
    """Independent annealing runs: beta rises from 0 over a share of the sweeps, then stays.

    With its own default schedule the same code is an optimiser (effective beta above 100). Here its reads follow the
    Boltzmann distribution as far as `num_sweeps` suffice; `population-annealing` is both more accurate and faster.

    Parameters
    ----------
    num_sweeps
        Sweeps over all spins in a run.
    ramp
        Share of the sweeps in which beta rises; 0 holds it constant. Runs from `initial_states` do not ramp.
    acceptance
        "gibbs" or "metropolis". Metropolis in sequential order is not ergodic where all fields vanish.

    References
    ----------
    Kirkpatrick, Gelatt and Vecchi (1983), Science 220, 671.
    """

    name = "simulated-annealing"
    takes_initial_states = True

    def __init__(
        self, num_sweeps: int = 100, *, ramp: float = 0.5, acceptance: Literal["gibbs", "metropolis"] = "gibbs"
    ):
        self.num_sweeps = integer("num_sweeps", num_sweeps)
        self.ramp = share("ramp", ramp)
        self.acceptance = one_of("acceptance", acceptance, ("gibbs", "metropolis"))

    def schedule(self) -> np.ndarray:
        """Return the multiples of beta, one a sweep, `(num_sweeps,)`; the last is 1."""
        rising = round(self.ramp * self.num_sweeps)
        return np.concatenate([(np.arange(rising) + 1) / (rising + 1), np.ones(self.num_sweeps - rising)])

    def _draw(self, request: Request) -> Draws:
        from dwave.samplers import SimulatedAnnealingSampler

        problem, num_reads, beta, rng = request.problem, request.num_reads, request.beta, request.rng
        initial_states = request.starts()
        if beta == 0:
            return Draws(coins(problem, num_reads, rng))
        schedule = self.schedule() if initial_states is None else np.ones(self.num_sweeps)
        options: dict[str, Any] = {}
        if initial_states is not None:
            options["initial_states"] = (initial_states, list(range(problem.n)))
        answer = SimulatedAnnealingSampler().sample(
            integer_bqm(problem, beta),
            num_reads=num_reads,
            beta_schedule_type="custom",
            beta_schedule=schedule,
            proposal_acceptance_criteria=self.acceptance.capitalize(),
            seed=int(rng.integers(2**31)),
            **options,
        )
        return Draws(ordered(answer), info={"num_sweeps": self.num_sweeps})


def integer_bqm(problem: Ising, factor: float = 1.0) -> dimod.BinaryQuadraticModel:
    """Return the problem times `factor` as a `dimod` model over variables 0 to n - 1."""
    i, j, values = problem.edges
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        problem.h * factor, (i, j, values * factor), 0.0, dimod.SPIN, variable_order=list(range(problem.n))
    )


def ordered(answer: dimod.SampleSet) -> np.ndarray:
    """Return the reads of a `dimod` sample set over variables 0 to n - 1 as int8 `(reads, n)`, multiplicities as rows."""
    columns = np.empty(len(answer.variables), dtype=np.int64)
    columns[np.asarray(list(answer.variables), dtype=np.int64)] = np.arange(len(answer.variables))
    return np.repeat(answer.record.sample, answer.record.num_occurrences, axis=0)[:, columns].astype(np.int8)
