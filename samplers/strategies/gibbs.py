"""Constant temperature: independent chains, all at beta."""

from __future__ import annotations

import numpy as np

from samplers.kernels.dispatch import compile_problem
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
    device
        "cpu", or a torch device such as "cuda".
    """

    name = "gibbs"

    def __init__(self, *, num_sweeps: int = 100, device: str = "cpu"):
        self.device = device
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
        kernel = compile_problem(problem, self.device)
        if initial_states is None:
            chains = kernel.random(num_reads, rng)
        else:
            chains = kernel.start(rows_for(initial_states, num_reads), rng)
        kernel.sweep(chains, beta, self.num_sweeps)
        return Draws(chains.states(), info={"num_sweeps": self.num_sweeps, "independent_reads": True})
