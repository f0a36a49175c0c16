"""Correction: a few Gibbs sweeps at the stated beta bring reads nearer to the Boltzmann distribution."""

from __future__ import annotations

import numpy as np

from samplers.checks import integer
from samplers.draws import Draws, Seed
from samplers.problem import Ising
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.wrappers.base import Wrapper, seed_for_child


def correct(problem: Ising, states: np.ndarray, num_sweeps: int, beta: float = 1.0, seed: Seed = None) -> np.ndarray:
    """Return the reads after `num_sweeps` Gibbs sweeps of our own kernel, `(num_reads, n)` int8.

    Parameters
    ----------
    problem
        The Ising problem.
    states
        The reads to start from, `(num_reads, n)` in -1/+1.
    num_sweeps
        Sweeps; 0 returns the reads as they are.
    beta
        Inverse temperature.
    seed
        Seed or generator.

    Notes
    -----
    At weak coupling the sweeps alone do the work: compare with the same sweeps from a random start (`random_start`).
    """
    if not num_sweeps or not problem.n:
        return states
    from samplers.strategies.gibbs import Gibbs

    return Gibbs(num_sweeps=num_sweeps).draw(problem, len(states), beta, initial_states=states, seed=seed).states


def random_start(problem: Ising, num_reads: int, num_sweeps: int, beta: float = 1.0, seed: Seed = None) -> np.ndarray:
    """Return reads of `num_sweeps` Gibbs sweeps from uniform spins: what a corrected machine must beat.

    Parameters
    ----------
    problem, num_reads, beta, seed
        As in `Sampler.draw`.
    num_sweeps
        Sweeps.
    """
    rng = np.random.default_rng(seed)
    start = rng.choice(np.array([-1, 1], dtype=np.int8), (num_reads, problem.n))
    return correct(problem, start, num_sweeps, beta, rng)


class Correction(Wrapper):
    """A sampler whose reads are finished by Gibbs sweeps; weights are kept.

    Parameters
    ----------
    sampler
        A sampler, or the name of one.
    num_sweeps
        Gibbs sweeps on each read.
    """

    name = "correction"

    def __init__(self, sampler: Sampler | str, num_sweeps: int = 5):
        super().__init__(sampler)
        self.num_sweeps = integer("num_sweeps", num_sweeps, 0)

    def _draw(self, request: Request) -> Draws:
        rng = request.rng
        draws = self.child.ask(request.replace(seed=seed_for_child(request.seed, rng)))
        states = correct(request.problem, draws.states, self.num_sweeps, request.beta, rng)
        return Draws(states, draws.log_weights, info={**draws.info, "correction_sweeps": self.num_sweeps})
