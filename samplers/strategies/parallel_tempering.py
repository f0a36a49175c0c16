"""Parallel tempering with a ladder tuned by acceptance (Syed et al. 2022, JRSS B 84:321)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from samplers.checks import integer
from samplers.draws import Draws
from samplers.kernels.chains import Chains
from samplers.kernels.dispatch import compile_problem
from samplers.request import Request
from samplers.sampler import Sampler

#: Rungs of the first ladder, and the most that tuning may ask for.
FIRST_RUNGS, MOST_RUNGS = 16, 64
#: Reads that one ladder gives at most, `SPACING` sweeps apart.
READS_A_LADDER, SPACING = 8, 10


@dataclass
class Ladders:
    """Replicas of independent ladders.

    Attributes
    ----------
    chains
        `ladders * rungs` chains.
    rung
        `(ladders, rungs)`: the chain that sits on each rung, as an index into the ladder's chains.
    betas
        `(rungs,)` ascending from 0.
    rejection
        `(rungs - 1,)` mean rejection of the swaps between neighbours, over `tries` tries.
    """

    chains: Chains
    rung: np.ndarray
    betas: np.ndarray
    rejection: np.ndarray
    tries: np.ndarray
    heading: np.ndarray  # +1: the chain was last at beta 0, -1: last at the coldest rung, 0: neither yet
    round_trips: int = 0
    swaps: int = 0


class ParallelTempering(Sampler):
    """Replica exchange between beta 0 and beta, swaps even and odd in turn: the reference for hard problems.

    A quarter of the sweeps tunes the ladder (rungs at equal rejection, about twice as many as the communication
    barrier), the rest forgets the start; then each of many independent ladders gives up to 8 reads, 10 sweeps apart.
    `info` has `ladder`, `acceptance` (of each neighbouring pair), `barrier` and `round_trips`.

    Parameters
    ----------
    num_sweeps
        Sweeps of every replica before the first read.
    device
        "cpu", or a torch device such as "cuda".
    """

    name = "parallel-tempering"

    def __init__(self, *, num_sweeps: int = 200, device: str = "cpu"):
        self.device = device
        self.num_sweeps = integer("num_sweeps", num_sweeps, least=8)

    def _draw(self, request: Request) -> Draws:
        rng, num_reads, beta = request.rng, request.num_reads, request.beta
        kernel = compile_problem(request.problem, self.device)
        num = min(num_reads, max(32, -(-num_reads // READS_A_LADDER)))
        betas = tune(kernel, beta, self.num_sweeps // 4, rng)
        ladders = start(kernel, num, betas, rng)
        warm = self.num_sweeps - self.num_sweeps // 4
        for k in range(1, warm + 1):
            # the ladder is cooled as a whole first: cold rungs would freeze a random start
            step(kernel, ladders, min(1.0, 2 * k / warm), rng)
        rounds = -(-num_reads // num)
        blocks = []
        for r in range(rounds):
            for _ in range(SPACING if r else 0):
                step(kernel, ladders, 1.0, rng)
            blocks.append(cold_states(ladders))
        info = {
            "num_sweeps": self.num_sweeps + SPACING * (rounds - 1),
            "ladder": betas.tolist(),
            "acceptance": (1 - ladders.rejection).tolist(),
            "barrier": float(ladders.rejection.sum()),
            "round_trips": ladders.round_trips,
            "ladders": num,
            "independent_reads": rounds == 1,
        }
        return Draws(np.concatenate(blocks)[:num_reads], info=info)


def start(kernel: Any, num: int, betas: np.ndarray, rng: np.random.Generator) -> Ladders:
    """Return `num` ladders of random states.

    Parameters
    ----------
    kernel
        The compiled problem.
    num
        Ladders.
    betas
        Of the rungs, ascending.
    rng
        The generator.
    """
    rungs = len(betas)
    chains = kernel.random(num * rungs, rng)
    kernel.measure(chains)
    zeros = np.zeros(rungs - 1)
    return Ladders(chains, np.tile(np.arange(rungs), (num, 1)), betas, zeros, zeros.copy(), np.zeros((num, rungs), int))


def step(kernel: Any, ladders: Ladders, cooling: float, rng: np.random.Generator) -> None:
    """One sweep of every replica at `cooling` times its beta, then swaps between every other pair of rungs.

    Parameters
    ----------
    kernel
        The compiled problem.
    ladders
        The replicas; written.
    cooling
        Factor on every beta, 0 to 1.
    rng
        The generator.
    """
    num, rungs = ladders.rung.shape
    betas = ladders.betas * cooling
    of_chain = np.empty((num, rungs))
    np.put_along_axis(of_chain, ladders.rung, np.broadcast_to(betas, (num, rungs)), axis=1)
    kernel.sweep(ladders.chains, of_chain.reshape(-1))
    energies = np.take_along_axis(ladders.chains.energy().reshape(num, rungs), ladders.rung, axis=1)
    low = np.arange(ladders.swaps % 2, rungs - 1, 2)
    ladders.swaps += 1
    log_ratio = (betas[low + 1] - betas[low]) * (energies[:, low + 1] - energies[:, low])
    accepted = np.log(rng.random(log_ratio.shape)) < log_ratio
    ladders.tries[low] += 1
    ladders.rejection[low] += (1 - np.exp(np.minimum(log_ratio, 0)).mean(0) - ladders.rejection[low]) / ladders.tries[
        low
    ]
    lower, upper = ladders.rung[:, low].copy(), ladders.rung[:, low + 1].copy()
    ladders.rung[:, low] = np.where(accepted, upper, lower)
    ladders.rung[:, low + 1] = np.where(accepted, lower, upper)
    _count_trips(ladders)


def _count_trips(ladders: Ladders) -> None:
    rows = np.arange(len(ladders.rung))
    hot, cold = ladders.rung[:, 0], ladders.rung[:, -1]
    ladders.round_trips += int((ladders.heading[rows, hot] == -1).sum())
    ladders.heading[rows, hot] = 1
    # a chain that reaches the cold end without having been hot has not started a trip
    arrived = ladders.heading[rows, cold] == 1
    ladders.heading[rows[arrived], cold[arrived]] = -1


def cold_states(ladders: Ladders) -> np.ndarray:
    """Return the states on the coldest rungs, `(ladders, n)` int8."""
    num, rungs = ladders.rung.shape
    return ladders.chains.states()[np.arange(num) * rungs + ladders.rung[:, -1]]


def tune(kernel: Any, beta: float, num_sweeps: int, rng: np.random.Generator) -> np.ndarray:
    """Return a ladder from 0 to `beta` whose neighbours swap equally often, tuned on 8 ladders in two rounds.

    Parameters
    ----------
    kernel
        The compiled problem.
    beta
        Of the coldest rung.
    num_sweeps
        Sweeps to spend.
    rng
        The generator.
    """
    betas = np.linspace(0.0, beta, FIRST_RUNGS)
    if beta == 0:
        return betas[:2]
    for _ in range(2):
        ladders = start(kernel, 8, betas, rng)
        half = max(1, num_sweeps // 4)
        for k in range(1, half + 1):
            step(kernel, ladders, k / half, rng)
        ladders.rejection[:], ladders.tries[:] = 0.0, 0.0
        for _ in range(max(2, half)):
            step(kernel, ladders, 1.0, rng)
        barrier = np.concatenate([[0.0], np.cumsum(ladders.rejection + 1e-3)])
        rungs = int(np.clip(np.ceil(2 * barrier[-1]) + 2, 4, MOST_RUNGS))
        betas = np.interp(np.linspace(0, barrier[-1], rungs), barrier, betas)
        betas[0], betas[-1] = 0.0, beta
    return betas
