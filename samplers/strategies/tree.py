"""Exact log Z and samples along a tree decomposition: eliminate spins one by one, then draw them in reverse.

Bucket elimination (Dechter 1999) in the greedy order of least fill-in; cost and memory grow as 2**treewidth, so this
serves chains, ladders, trees and thin lattices of any length.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samplers.problem import Ising

#: The most entries of all tables together: 2**24 float64 are 128 MB.
MOST_ENTRIES = 2**24


@dataclass
class Elimination:
    """An order of elimination: spins, and for each the spins that its table depends on."""

    order: list[int]
    parents: list[list[int]]


def plan(problem: Ising, most_entries: int = MOST_ENTRIES) -> Elimination | None:
    """Return an order of elimination, or None where its tables would hold more than `most_entries` numbers."""
    near = _neighbours(problem)
    order: list[int] = []
    parents: list[list[int]] = []
    entries = 0
    remaining = set(range(problem.n))
    while remaining:
        least = min(len(near[i]) for i in remaining)
        # the next table has no fewer dimensions, whichever spin goes: a dense graph needs no search for it
        if entries + 2 ** (least + 1) > most_entries:
            return None
        spin = _cheapest(near, remaining, least)
        clique = near.pop(spin)
        remaining.discard(spin)
        entries += 2 ** (len(clique) + 1) if len(clique) < 60 else most_entries + 1
        if entries > most_entries:
            return None
        for other in clique:
            near[other] |= clique
            near[other] -= {other, spin}
        order.append(spin)
        parents.append(sorted(clique))
    return Elimination(order, parents)


def _neighbours(problem: Ising) -> dict[int, set[int]]:
    near: dict[int, set[int]] = {i: set() for i in range(problem.n)}
    for i, j in zip(*problem.edges[:2], strict=True):
        near[int(i)].add(int(j))
        near[int(j)].add(int(i))
    return near


def _cheapest(near: dict[int, set[int]], remaining: set[int], least: int) -> int:
    """Return the spin of least fill-in among those of the least degree, or one more (ties by index)."""
    if least <= 1:
        return min(i for i in remaining if len(near[i]) == least)
    best, best_fill = -1, None
    for i in sorted(remaining):
        if len(near[i]) > least + 1:
            continue
        fill = sum(len(near[i] - near[j]) - 1 for j in near[i])
        if best_fill is None or fill < best_fill:
            best, best_fill = i, fill
    return best


def eliminate(problem: Ising, elimination: Elimination, beta: float) -> tuple[float, list[np.ndarray]]:
    """Return log Z and, in the order of elimination, each spin's table of P(+1 | parents), `(2,) * len(parents)`.

    Parameters
    ----------
    problem
        The Ising problem.
    elimination
        Its order of elimination.
    beta
        Inverse temperature.
    """
    position = {spin: k for k, spin in enumerate(elimination.order)}
    couplings = problem.sparse
    # the log factors that wait for the elimination of their first spin: (spins, table)
    waiting: list[list[tuple[list[int], np.ndarray]]] = [[] for _ in range(problem.n)]
    log_z = -beta * problem.offset
    tables = []
    signs = np.array([-1.0, 1.0])
    for k, (spin, parents) in enumerate(zip(elimination.order, elimination.parents, strict=True)):
        scope = [*parents, spin]
        total = np.zeros((2,) * len(scope)) - beta * problem.h[spin] * signs
        for p in range(couplings.indptr[spin], couplings.indptr[spin + 1]):
            other = int(couplings.indices[p])
            if position[other] > k:
                total = total + _spread([other, spin], -beta * couplings.data[p] * np.outer(signs, signs), scope)
        for spins, table in waiting[k]:
            total = total + _spread(spins, table, scope)
        waiting[k] = []
        message = np.logaddexp(total[..., 0], total[..., 1])
        tables.append(np.exp(total[..., 1] - message))
        if parents:
            waiting[min(position[p] for p in parents)].append((parents, message))
        else:
            log_z += float(message)
    return log_z, tables


def _spread(spins: list[int], table: np.ndarray, scope: list[int]) -> np.ndarray:
    """Return `table` over `spins` with axes in the order of `scope`, absent ones of length 1."""
    present = sorted(range(len(spins)), key=lambda a: scope.index(spins[a]))
    shape = [2 if s in spins else 1 for s in scope]
    return table.transpose(present).reshape(shape)


def draw(elimination: Elimination, tables: list[np.ndarray], num_reads: int, rng: np.random.Generator) -> np.ndarray:
    """Return independent states, `(num_reads, n)` int8.

    Parameters
    ----------
    elimination, tables
        What `plan` and `eliminate` returned.
    num_reads
        How many.
    rng
        The generator.
    """
    up = np.zeros((len(elimination.order), num_reads), dtype=np.intp)
    for spin, parents, table in zip(
        reversed(elimination.order), reversed(elimination.parents), reversed(tables), strict=True
    ):
        up[spin] = rng.random(num_reads) < table[tuple(up[p] for p in parents)]
    return np.ascontiguousarray((2 * up - 1).astype(np.int8).T)
