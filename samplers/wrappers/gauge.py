"""Gauge: spin-reversal transforms, which turn a machine's biases towards +1 or -1 into noise."""

from __future__ import annotations

import numpy as np

from samplers.checks import integer
from samplers.draws import Draws
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.wrappers.base import Wrapper, seed_for_child


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
        self.num_gauges = integer("num_gauges", num_gauges)

    def _draw(self, request: Request) -> Draws:
        rng, num, start = request.rng, request.num_reads, request.starts()
        parts: list[Draws] = []
        for rows in np.array_split(np.arange(num), min(self.num_gauges, num)):
            gauge = rng.choice(np.array([-1, 1], dtype=np.int8), request.problem.n)
            turned = request.replace(
                problem=request.problem.gauged(gauge), num_reads=len(rows), seed=seed_for_child(request.seed, rng),
                initial_states=None if start is None else start[rows] * gauge,
            )  # fmt: skip
            draws = self.child.ask(turned)
            parts.append(Draws(draws.states * gauge, draws.log_weights, info=draws.info))
        joined = None
        if any(p.log_weights is not None for p in parts):
            # each call has its own normalisation: its reads count as many as they are
            joined = np.concatenate([np.log(np.maximum(p.weights * len(p), 1e-300)) for p in parts])
        states = np.concatenate([p.states for p in parts])
        return Draws(states, joined, info={**parts[0].info, "num_gauges": len(parts)})
