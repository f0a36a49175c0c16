"""The check of an answer from another machine, before anybody trusts it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.special import gammaln

from samplers.draws import Draws
from samplers.errors import BadAnswerError
from samplers.problem import Ising
from samplers.serving import checked_reads


def check_answer(
    draws: Draws,
    problem: Ising,
    num_reads: int,
    beta: float,
    *,
    clamped: Mapping[int, int] | None = None,
    source: str = "the machine",
    independent: bool = True,
) -> Draws:
    """Return `draws` if they are what was asked for.

    Parameters
    ----------
    draws
        The answer.
    problem, num_reads, beta, clamped
        The request.
    source
        Who answered, for the message.
    independent
        Whether the reads should be independent samples at `beta`: then an answer in which every read has a copy, where
        the energies make that impossible, is refused as well.

    Raises
    ------
    BadAnswerError
        For a wrong number of reads or spins, values other than ±1, weights or energies that are NaN or belong to other
        states, clamped spins that moved, duplicated reads.
    """
    states = checked_reads(draws, problem, num_reads, f"{source} answered with")
    for spin, value in (clamped or {}).items():
        if (states[:, int(spin)] != value).any():
            raise BadAnswerError(f"{source} moved the clamped spin {spin}")
    if independent and _duplicated(states, problem, beta, clamped or {}):
        unique = len(np.unique(np.packbits(states > 0, axis=1), axis=0))
        raise BadAnswerError(
            f"{source} answered with {unique} different reads among {num_reads}, each repeated, where the energies make "
            "repeats improbable: duplicated reads"
        )
    return draws


def _duplicated(states: np.ndarray, problem: Ising, beta: float, clamped: Mapping[int, int]) -> bool:
    """Tell whether every read has a copy though independent reads would practically never coincide so often."""
    reads = len(states)
    if reads < 16 or problem.n == len(clamped):
        return False
    # rows as strings of bits: sorting them is the cost of this check
    packed = np.packbits(states > 0, axis=1)
    rows = np.ascontiguousarray(packed).view(f"V{packed.shape[1]}").ravel()
    _, first, counts = np.unique(rows, return_index=True, return_counts=True)
    unique = states[first]
    if counts.min() < 2:
        return False
    order = np.argsort(counts)[::-1][:4]
    counts, most = counts[order], np.array([_ceiling(unique[k], problem, beta, clamped) for k in order])
    # expected coincidences of any two reads, and the log probability that one read comes so often (union bound)
    pairs = reads * reads / 2 * most.max()
    often = gammaln(reads + 1) - gammaln(counts + 1) - gammaln(reads - counts + 1) + counts * np.log(most)
    return pairs < reads / 20 or bool((often < -40).any())


def _ceiling(state: np.ndarray, problem: Ising, beta: float, clamped: Mapping[int, int]) -> float:
    """Return an upper bound on a state's probability: that of its 14 freest spins given all others, by enumeration."""
    field = np.abs(problem.local_fields(state))
    field[[int(i) for i in clamped]] = np.inf
    block = np.argsort(field)[: min(14, problem.n - len(clamped))]
    rest, free = problem.condition({int(i): int(state[i]) for i in np.setdiff1d(np.arange(problem.n), block)})
    cube = (1 - 2 * ((np.arange(2 ** len(free))[:, None] >> np.arange(len(free))) & 1)).astype(np.int8)
    gap = rest.energies(cube) - rest.energies(state[free])
    return float(np.exp(-np.logaddexp.reduce(-beta * gap)))
