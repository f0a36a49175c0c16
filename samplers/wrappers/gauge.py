"""Gauge: spin-reversal transforms, which turn a machine's biases towards +1 or -1 into noise."""

from __future__ import annotations

import numpy as np

from samplers.machines.options import whole
from samplers.problem import Ising
from samplers.sampler import Draws, Sampler, Seed
from samplers.wrappers.base import Wrapper, seed_for_child


def gauged(problem: Ising, gauge: np.ndarray) -> Ising:
    """Return the problem in which spin i counts as `gauge[i]` times itself; energies are equal for gauged states."""
    h = problem.h * gauge
    if problem.layout == "bipartite":
        nv = problem.n_visible
        block = problem.block * gauge[:nv, None] * gauge[None, nv:]
        return Ising.bipartite(h[:nv], h[nv:], block, offset=problem.offset)
    if problem.layout == "sparse":
        matrix = problem.sparse.tocoo()
        matrix.data = matrix.data * gauge[matrix.row] * gauge[matrix.col]
        return Ising(h, matrix, offset=problem.offset, labels=problem.labels)
    return Ising(h, problem.dense * np.outer(gauge, gauge), offset=problem.offset, labels=problem.labels)


class Gauge(Wrapper):
    """A sampler called in several random gauges, the reads shared among them.

    Parameters
    ----------
    sampler
        A sampler, or the name of one.
    num_gauges
        Calls a draw, each with its own random spin reversal; at most one a read.
    """

    name = "gauge"

    def __init__(self, sampler: Sampler | str, num_gauges: int = 4):
        super().__init__(sampler)
        self.num_gauges = whole("num_gauges", num_gauges)

    def draw(
        self,
        problem: Ising,
        num_reads: int = 1,
        beta: float = 1.0,
        *,
        initial_states: np.ndarray | None = None,
        seed: Seed = None,
    ) -> Draws:
        """Draw each share of the reads in a gauge of its own, and undo it."""
        rng = np.random.default_rng(seed)
        start = None if initial_states is None else np.resize(initial_states, (num_reads, problem.n))
        parts: list[Draws] = []
        for rows in np.array_split(np.arange(num_reads), min(self.num_gauges, num_reads)):
            gauge = rng.choice(np.array([-1, 1], dtype=np.int8), problem.n)
            first = None if start is None else start[rows] * gauge
            own = seed_for_child(seed, rng)
            draws = self.child.draw(gauged(problem, gauge), len(rows), beta, initial_states=first, seed=own)
            parts.append(Draws(draws.states * gauge, draws.log_weights, draws.energies, beta, draws.info))
        joined = None
        if any(p.log_weights is not None for p in parts):
            # each call has its own normalisation: its reads count as many as they are
            joined = np.concatenate([np.log(np.maximum(p.weights * len(p), 1e-300)) for p in parts])
        return Draws(
            np.concatenate([p.states for p in parts]),
            joined,
            np.concatenate([p.energies for p in parts]),
            beta,
            {**parts[0].info, "num_gauges": len(parts)},
        )
