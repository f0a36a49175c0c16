"""Simulated annealing of `dwave-samplers`, with a schedule that ends at the beta that was asked for."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from samplers.errors import InputError
from samplers.machines.options import share, whole
from samplers.problem import Ising
from samplers.sampler import Draws, Sampler, Seed


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

    def __init__(
        self, num_sweeps: int = 100, *, ramp: float = 0.5, acceptance: Literal["gibbs", "metropolis"] = "gibbs"
    ):
        self.num_sweeps = whole("num_sweeps", num_sweeps)
        self.ramp = share("ramp", ramp)
        if acceptance not in ("gibbs", "metropolis"):
            raise InputError(f"acceptance must be 'gibbs' or 'metropolis', not {acceptance!r}")
        self.acceptance = acceptance

    def schedule(self) -> np.ndarray:
        """Return the multiples of beta, one a sweep, `(num_sweeps,)`; the last is 1."""
        rising = round(self.ramp * self.num_sweeps)
        return np.concatenate([(np.arange(rising) + 1) / (rising + 1), np.ones(self.num_sweeps - rising)])

    def draw(
        self,
        problem: Ising,
        num_reads: int = 1,
        beta: float = 1.0,
        *,
        initial_states: np.ndarray | None = None,
        seed: Seed = None,
    ) -> Draws:
        """Draw reads, each from a run of its own."""
        from dwave.samplers import SimulatedAnnealingSampler

        rng = np.random.default_rng(seed)
        if beta == 0 or not problem.n:
            return Draws(rng.choice(np.array([-1, 1], dtype=np.int8), (num_reads, problem.n)))
        schedule = self.schedule() if initial_states is None else np.ones(self.num_sweeps)
        options: dict[str, Any] = {}
        if initial_states is not None:
            options["initial_states"] = (np.resize(initial_states, (num_reads, problem.n)), list(range(problem.n)))
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


def integer_bqm(problem: Ising, factor: float = 1.0) -> Any:
    """Return the problem times `factor` as a `dimod` model over variables 0 to n - 1."""
    import dimod

    i, j, values = problem.edges
    return dimod.BinaryQuadraticModel.from_numpy_vectors(
        problem.h * factor, (i, j, values * factor), 0.0, dimod.SPIN, variable_order=list(range(problem.n))
    )


def ordered(answer: Any) -> np.ndarray:
    """Return the reads of a `dimod` sample set over variables 0 to n - 1 as int8 `(reads, n)`, multiplicities as rows."""
    columns = np.empty(len(answer.variables), dtype=np.int64)
    columns[np.asarray(list(answer.variables), dtype=np.int64)] = np.arange(len(answer.variables))
    return np.repeat(answer.record.sample, answer.record.num_occurrences, axis=0)[:, columns].astype(np.int8)
