"""Which kernel sweeps which problem."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samplers.kernels import bipartite, dense, sparse
from samplers.kernels.chains import Chains
from samplers.kernels.rng import LANES
from samplers.problem import Ising


class Kernel:
    """Sweeps of one problem.

    Parameters
    ----------
    problem
        The problem; its couplings are rounded to float32 once, here.
    """

    def __init__(self, problem: Ising):
        self.problem = problem
        self._sweep, self._energy, self._arguments = _compile(problem)

    def sweep(self, chains: Chains, beta: float | np.ndarray, num_sweeps: int = 1) -> None:
        """Update every spin of every chain `num_sweeps` times at inverse temperature `beta`, a number or `(num,)`."""
        two_beta = np.zeros((len(chains.spins), LANES), dtype=np.float32)
        two_beta.reshape(-1)[: chains.num] = 2.0 * np.asarray(beta)
        self._sweep(chains.spins, chains.streams, chains.energies, two_beta, *self._arguments, num_sweeps, chains.phase)
        chains.phase += num_sweeps

    def track(self, chains: Chains) -> np.ndarray:
        """Set the running energies in float32 (about 1e-6 of their size), fast, and return them."""
        self._energy(chains.spins, chains.energies, *self._arguments)
        chains.energies += self.problem.offset
        return chains.energy()

    def measure(self, chains: Chains) -> np.ndarray:
        """Set the running energies to the problem's energies of the present states (float64), and return them."""
        chains.energies.reshape(-1)[: chains.num] = self.problem.energies(chains.states())
        return chains.energy()


def _compile(problem: Ising) -> tuple[Callable[..., None], Callable[..., None], tuple[np.ndarray, ...]]:
    fields = -problem.h.astype(np.float32)
    if problem.layout == "bipartite":
        block = -problem.block.astype(np.float32)
        return bipartite.sweep, bipartite.energy, (np.ascontiguousarray(block), np.ascontiguousarray(block.T), fields)
    if problem.layout == "sparse":
        J = problem.sparse
        return sparse.sweep, sparse.energy, (
            J.indptr.astype(np.int32), J.indices.astype(np.int32), -J.data.astype(np.float32), fields,
        )  # fmt: skip
    return dense.sweep, dense.energy, (-problem.dense.astype(np.float32, order="C"), fields)
