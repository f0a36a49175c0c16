"""What acts on each gene, and orders of genes in which none acts on an earlier one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Genes in a circle up to which the best order is certain; the orders of more are searched by moves.
ALL_ORDERS = 5


@dataclass(frozen=True)
class Parents:
    """What acts on a gene in one condition: genes that flip it, whether one flip is open, and (gene, late) rotations.

    A rotation's control is the gene as measured; `late` says that it acts after the gene's flips.
    """

    flips: tuple[int, ...] = ()
    open: bool = False
    turns: tuple[tuple[int, bool], ...] = ()

    def __post_init__(self) -> None:
        if not self.flips:
            # without flips nothing is late
            object.__setattr__(self, "turns", tuple((control, False) for control, _ in self.turns))

    @property
    def acting(self) -> frozenset[int]:
        """Genes that act on the gene."""
        return frozenset(self.flips) | {control for control, _ in self.turns}

    @property
    def size(self) -> int:
        """Number of gates."""
        return len(self.flips) + len(self.turns)


def best_order(part: Sequence[int], value: Callable[[tuple[int, ...]], float]) -> tuple[int, ...]:
    """Return the best order of a few genes, by dynamic programming over the sets of genes that come last.

    Parameters
    ----------
    part
        Genes.
    value
        Of a gene before others that do not act on it: called with all of them, the gene first.
    """
    best: dict[frozenset[int], tuple[float, tuple[int, ...]]] = {frozenset(): (0.0, ())}
    for size in range(1, len(part) + 1):
        for chosen in itertools.combinations(part, size):
            trials = []
            for gene in chosen:
                total, order = best[frozenset(chosen) - {gene}]
                trials.append((total + value((gene, *order)), (gene, *order)))
            best[frozenset(chosen)] = max(trials)
    return best[frozenset(part)][1]


def good_order(part: Sequence[int], value: Callable[[tuple[int, ...]], float]) -> tuple[int, ...]:
    """Return a good order of many genes: genes are moved to other places as long as that is better; see `best_order`."""

    def total(order: tuple[int, ...]) -> float:
        return sum(value(order[k:]) for k in range(len(order)))

    order = tuple(part)
    best, improved = total(order), True
    while improved:
        improved = False
        for gene in part:
            rest = [g for g in order if g != gene]
            for place in range(len(order)):
                trial = (*rest[:place], gene, *rest[place:])
                now = total(trial)
                if now > best + 1e-6:
                    order, best, improved = trial, now, True
    return order


def circle(parents: Sequence[Parents]) -> list[int] | None:
    """Return genes whose own bits cannot be told from the measured ones: a singular map, or turns in a circle."""
    import networkx as nx

    graph = nx.DiGraph((c, t) for t, p in enumerate(parents) for c in (*p.flips, *(c for c, _ in p.turns)))
    for part in nx.strongly_connected_components(graph):
        if len(part) < 2:
            continue
        turned = any(c in part for t in part for c, _ in parents[t].turns)
        if turned or not _invertible(sorted(part), parents):
            return sorted(part)
    return None


def _invertible(part: list[int], parents: Sequence[Parents]) -> bool:
    rows = {t: {t} ^ {c for c in parents[t].flips if c in part} for t in part}
    for t in part:
        pivot = next((g for g, row in rows.items() if t in row), None)
        if pivot is None:
            return False
        chosen = rows.pop(pivot)
        rows = {g: row ^ chosen if t in row else row for g, row in rows.items()}
    return True
