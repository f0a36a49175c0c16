"""Constant temperature: independent chains, all at beta."""

from __future__ import annotations

from samplers.batch import BatchRequest, DrawsBatch
from samplers.checks import integer
from samplers.draws import Draws
from samplers.kernels.dispatch import compile_problem
from samplers.request import Request
from samplers.sampler import Sampler


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
    takes_initial_states = True

    def __init__(self, *, num_sweeps: int = 100, device: str = "cpu"):
        self.device = device
        self.num_sweeps = integer("num_sweeps", num_sweeps)

    def _draw(self, request: Request) -> Draws:
        rng, kernel = request.rng, compile_problem(request.problem, self.device)
        start = request.starts()
        chains = kernel.random(request.num_reads, rng) if start is None else kernel.start(start, rng)
        kernel.sweep(chains, request.beta, self.num_sweeps)
        return Draws(chains.states(), info={"num_sweeps": self.num_sweeps, "independent_reads": True})

    def _draw_batch(self, request: BatchRequest) -> DrawsBatch:
        rng, kernel = request.rng, compile_problem(request.couplings, self.device)
        start = request.starts()
        chains = kernel.random(len(request) * request.num_reads, rng) if start is None else kernel.start(start, rng)
        chains.assign(request.fields)
        kernel.sweep(chains, request.beta, self.num_sweeps)
        states = chains.states().reshape(len(request), request.num_reads, -1)
        return DrawsBatch(states, info={"num_sweeps": self.num_sweeps, "independent_reads": True})
