"""Constant temperature: independent chains, all at beta."""

from __future__ import annotations

import numpy as np

from samplers.kernels.chains import Chains
from samplers.kernels.dispatch import Kernel
from samplers.problem import Ising
from samplers.sampler import Draws, Sampler, Seed
from samplers.strategies.options import rows_for, whole


class Gibbs(Sampler):
    """Independent chains of sweeps at constant beta; the last state of each chain is one read.

    Sweeps are exact sequential updates, Gibbs and Metropolis in turn: Metropolis alone is not ergodic at zero
    couplings, and the two together forget faster.

    Parameters
    ----------
    num_sweeps
        Sweeps of every chain from its start: random spins, or `initial_states`.
    """

    name = "gibbs"

    def __init__(self, *, num_sweeps: int = 100):
        self.num_sweeps = whole("num_sweeps", num_sweeps)

    def draw(
        self,
        problem: Ising,
        num_reads: int = 1,
        beta: float = 1.0,
        *,
        initial_states: np.ndarray | None = None,
        seed: Seed = None,
    ) -> Draws:
        """Draw one read a chain."""
        rng = np.random.default_rng(seed)
        if initial_states is None:
            chains = Chains.random(num_reads, problem.n, rng)
        else:
            chains = Chains.from_states(rows_for(initial_states, num_reads), rng)
        Kernel(problem).sweep(chains, beta, self.num_sweeps)
        return Draws(chains.states(), info={"num_sweeps": self.num_sweeps, "independent_reads": True})
