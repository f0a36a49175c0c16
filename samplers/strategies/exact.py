"""Independent exact samples: enumeration of all states for up to 24 spins, narrow tree decompositions beyond."""

from __future__ import annotations

import numpy as np

from samplers.draws import Draws
from samplers.errors import InputError
from samplers.problem import Ising
from samplers.request import Request
from samplers.sampler import Sampler
from samplers.strategies import tree

#: The most spins that are enumerated; 2**24 energies are 128 MB.
MAX_SPINS = 24


class Exact(Sampler):
    """Independent samples of the exact distribution, with exact log Z in `info["log_z"]`.

    Up to 24 spins are enumerated; larger problems are eliminated along a tree decomposition, where it is narrow.

    Raises
    ------
    InputError
        On drawing, where the problem has more than 24 spins and no narrow tree decomposition.
    """

    name = "exact"

    def _draw(self, request: Request) -> Draws:
        problem, num_reads, beta, rng = request.problem, request.num_reads, request.beta, request.rng
        elimination = elimination_of(problem)
        if elimination is not None:
            log_z, tables = tree.eliminate(problem, elimination, beta)
            states = tree.draw(elimination, tables, num_reads, rng)
            width = max(map(len, elimination.parents), default=0)
            return Draws(states, info={"log_z": log_z, "independent_reads": True, "treewidth": width})
        log_p = -beta * enumerate_energies(problem)
        top = log_p.max()
        cumulative = np.cumsum(np.exp(log_p - top))
        draws = np.searchsorted(cumulative, rng.random(num_reads) * cumulative[-1], side="right")
        info = {"log_z": float(top + np.log(cumulative[-1])), "independent_reads": True}
        return Draws(states_of(draws.clip(max=len(log_p) - 1), problem.n), info=info)


def elimination_of(problem: Ising) -> tree.Elimination | None:
    """Return a narrow elimination where it is cheaper than enumeration or the only way, else None."""
    if problem.n <= 12 or (problem.n <= MAX_SPINS and problem.layout != "sparse"):
        return None
    return tree.plan(problem, most_entries=min(tree.MOST_ENTRIES, 2 ** min(problem.n, 40)))


def exact_log_z(problem: Ising, beta: float = 1.0) -> float | None:
    """Return log Z where enumeration or a narrow tree decomposition gives it, else None."""
    elimination = elimination_of(problem)
    if elimination is not None:
        return tree.eliminate(problem, elimination, beta)[0]
    return log_z_by_enumeration(problem, beta) if problem.n <= MAX_SPINS else None


def enumerate_energies(problem: Ising) -> np.ndarray:
    """Return the energies of all states, `(2**n,)` float64; bit k of the index is 1 where spin k is +1.

    Raises
    ------
    InputError
        For more than 24 spins.
    """
    n = problem.n
    if n > MAX_SPINS:
        raise InputError(
            f"{n} spins cannot be enumerated (at most {MAX_SPINS}) and their couplings have no narrow tree decomposition: "
            "use parallel-tempering as a reference"
        )
    J = problem.dense
    energies = np.empty(2**n)
    energies[0] = problem.offset
    push = np.empty(2 ** max(0, n - 1))
    for k in range(n):
        # the field on spin k of every state of spins 0..k-1, doubled spin by spin as the energies are
        push[0] = problem.h[k] - J[k, :k].sum()
        for j in range(k):
            push[2**j : 2 ** (j + 1)] = push[: 2**j] + 2 * J[k, j]
        below = energies[: 2**k]
        energies[2**k : 2 ** (k + 1)] = below + push[: 2**k]
        below -= push[: 2**k]
    return energies


def states_of(indices: np.ndarray, n: int) -> np.ndarray:
    """Return the states with the given indices in the order of `enumerate_energies`, `(len(indices), n)` int8."""
    bits = (np.asarray(indices)[:, None] >> np.arange(n)) & 1
    return (2 * bits - 1).astype(np.int8)


def log_z_by_enumeration(problem: Ising, beta: float = 1.0) -> float:
    """Return log of the sum over all states of exp(-beta E)."""
    log_p = -beta * enumerate_energies(problem)
    top = log_p.max()
    return float(top + np.log(np.exp(log_p - top).sum()))


def exact_moments(problem: Ising, beta: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the exact means `(n,)` and second moments `(n, n)` by enumeration."""
    log_p = -beta * enumerate_energies(problem)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean, second = np.zeros(problem.n), np.zeros((problem.n, problem.n))
    for start in range(0, len(p), 2**16):  # blocks of states keep memory flat
        q = p[start : start + 2**16]
        spins = states_of(np.arange(start, start + len(q)), problem.n).astype(np.float64)
        mean += q @ spins
        second += spins.T @ (spins * q[:, None])
    return mean, second
