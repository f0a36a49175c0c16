"""The simulator's inverse: the gates whose presence turns one condition's joint distribution of bits into the other's.

Genes start as independent qubits with the same activations in both conditions; gates then act in time order. A flip (CX)
is linear over GF(2): a gene's own bit is its measured bit plus the parity of a set of other measured genes. A rotation
(CRY) adds its angle to its target's where its control is on. The likelihood of a gene is then that of a Bernoulli bit
whose angle is linear in its rotations' controls, P(on) = sin^2(u / 2): exact for circuits in which no gene is rotated
after it has controlled another. The Fisher information of u is 1 a cell whatever u is, so that angles are fitted by
Fisher scoring, with exact gradients, in a few steps. Genes are fitted one by one: cost grows with the number of candidate
sets, not with 2^n.

Parameters
----------
gene, condition
    Positions of the gene and of the condition.
parents
    Which genes act on the gene and how, in one condition or in each.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import xor

import numpy as np

from qbmvae.cellsim.parity import Observed, Turn, entropy_score, fit, likelihood, packed, table

#: Flips of one gene and condition that are searched together; further ones are added one by one.
TOGETHER = 2
#: Most gates of one kind on one gene and condition.
MOST = 6
#: Genes in a circle up to which every order is tried, and random orders of more.
ALL_ORDERS, SOME_ORDERS = 4, 8
#: Nats by which a gene's own bits may differ between conditions by chance, and the price of each nat beyond.
ALIKE, UNLIKE = 6.0, 10.0


@dataclass(frozen=True)
class Parents:
    """What acts on a gene in one condition: genes that flip it, whether one flip is open, and (gene, late) rotations.

    A rotation's control is the gene as measured; `late` says that it acts after the gene's flips.
    """

    flips: tuple[int, ...] = ()
    open: bool = False
    turns: tuple[tuple[int, bool], ...] = ()

    @property
    def size(self) -> int:
        """Number of gates."""
        return len(self.flips) + len(self.turns)


@dataclass
class Cells:
    """Both conditions' bits, one integer a gene."""

    bits: Sequence[np.ndarray]
    columns: list[list[int]] = field(init=False)
    full: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.columns = [[packed(column) for column in part.T] for part in self.bits]
        self.full = [(1 << len(part)) - 1 for part in self.bits]

    @property
    def n_cells(self) -> int:
        """Cells of both conditions."""
        return sum(map(len, self.bits))

    def parity(self, condition: int, parents: Parents) -> int:
        """Return the cells in which a gene's flips have turned it over."""
        flipped = reduce(xor, (self.columns[condition][c] for c in parents.flips), 0)
        return self.full[condition] ^ flipped if parents.open else flipped

    def observed(self, condition: int, gene: int, parents: Parents) -> Observed:
        """Return a gene's own bits, before its flips, and the turns of its rotations."""
        full, flipped = self.full[condition], self.parity(condition, parents)
        turns: list[Turn] = []
        for control, late in parents.turns:
            on = self.columns[condition][control]
            # a rotation after the flips turned the flipped gene: the other way, seen from before
            turns.append((on & ~flipped & full, on & flipped) if late else (on, 0))
        return self.columns[condition][gene] ^ flipped, turns, full

    def fit(self, gene: int, parents: Sequence[Parents]) -> tuple[float, np.ndarray, np.ndarray]:
        """Return a gene's log-likelihood, its angles and their variances."""
        if not any(p.turns for p in parents):
            flipped = ((self.columns[c][gene] ^ self.parity(c, p)).bit_count() for c, p in enumerate(parents))
            on, total = sum(flipped), self.n_cells
            u = 2 * math.asin(math.sqrt(on / total))
            return entropy_score(on, total), np.array([u]), np.array([1 / total])
        return fit(*table([self.observed(c, gene, p) for c, p in enumerate(parents)]))

    def apart(self, gene: int, parents: Sequence[Parents]) -> float:
        """Return a gene's log-likelihood where its own angle may differ between the conditions."""
        value = 0.0
        for c, p in enumerate(parents):
            if p.turns:
                value += fit(*table([self.observed(c, gene, p)]))[0]
            else:
                on = (self.columns[c][gene] ^ self.parity(c, p)).bit_count()
                value += entropy_score(on, len(self.bits[c]))
        return value

    def score_at(self, gene: int, parents: Sequence[Parents], angles: np.ndarray) -> float:
        """Return a gene's log-likelihood at given angles.

        Parameters
        ----------
        angles
            Of the gene's RY and of each rotation, in radians.
        """
        design, on, total = table([self.observed(c, gene, p) for c, p in enumerate(parents)])
        return likelihood(design @ angles, on, total)


class Search:
    """Parents of every gene by penalised likelihood, the held-out cells agreeing, and no circle of flips.

    Parameters
    ----------
    train, held
        Cells that fit and cells that judge.
    kinds
        Of "cx", "open", "cry".
    allowed
        `(n_genes, n_genes)` bool, control by target.
    least_gain
        Nats that each gate must gain.
    """

    def __init__(self, train: Cells, held: Cells, kinds: Sequence[str], allowed: np.ndarray, least_gain: float):
        self.train, self.held, self.kinds, self.allowed, self.least_gain = train, held, kinds, allowed, least_gain
        self.n = allowed.shape[0]
        self.banned: list[set[tuple[int, int]]] = [set(), set()]

    def value(self, gene: int, parents: Sequence[Parents]) -> float:
        """Return log-likelihood less the price of the gates; a rotation's angle costs what the BIC takes, and 3 nats.

        A flip is one of the rotations: without the price of its angle a rotation would always fit as well.
        """
        angles = sum(len(p.turns) for p in parents) * (0.5 * math.log(self.train.n_cells) + 3)
        together = self.train.fit(gene, parents)[0]
        # own bits that differ between the conditions contradict the model: their likelihood must not be traded for others'
        unlike = max(0.0, self.train.apart(gene, parents) - together - ALIKE)
        return together - self.least_gain * sum(p.size for p in parents) - angles - UNLIKE * unlike

    def gene(self, gene: int) -> list[Parents]:
        """Return the parents of a gene in both conditions: one condition explained alone first, either one, then both."""
        none = [Parents(), Parents()]
        starts = [self.climb(gene, none, (condition,)) for condition in (1, 0)]
        best = max((self.climb(gene, start, (1, 0)) for start in starts), key=lambda p: self.value(gene, p))
        return self.confirmed(gene, best)

    def climb(self, gene: int, parents: list[Parents], conditions: Sequence[int]) -> list[Parents]:
        """Return the parents after the best change of each condition in turn, until nothing improves.

        Parameters
        ----------
        conditions
            Those whose parents may change.
        """
        value = self.value(gene, parents)
        improved = True
        while improved:
            improved = False
            for condition in conditions:
                best = parents
                for new in itertools.chain(self.flips(gene, condition, parents), self.turns(gene, condition, parents)):
                    trial = [new if c == condition else p for c, p in enumerate(parents)]
                    now = self.value(gene, trial)
                    if now > value + 1e-6:
                        best, value, improved = trial, now, True
                parents = best
        return parents

    def flips(self, gene: int, condition: int, parents: Sequence[Parents]) -> Iterator[Parents]:
        """Yield other sets of flips: every small set, and the present one with one gene more or less."""
        if "cx" not in self.kinds and "open" not in self.kinds:
            return
        old = parents[condition]
        controls = self._controls(gene, condition)
        changes = [s for k in range(TOGETHER + 1) for s in itertools.combinations(controls, k)]
        # every small set, and the present one with any small set of genes put in or taken out
        sets = dict.fromkeys(changes) | {tuple(sorted({*old.flips} ^ {*s})): None for s in changes}
        for flips in sets:
            if len(flips) <= MOST:
                for is_open in (False, True):
                    if (is_open and ("open" not in self.kinds or not flips)) or (
                        not is_open and flips and "cx" not in self.kinds
                    ):
                        continue
                    yield Parents(flips, is_open, old.turns)

    def turns(self, gene: int, condition: int, parents: Sequence[Parents]) -> Iterator[Parents]:
        """Yield the present parents with one rotation more, less, or a flip turned into a rotation."""
        if "cry" not in self.kinds:
            return
        old = parents[condition]
        have = {control for control, _ in old.turns}
        for k in range(len(old.turns)):
            yield Parents(old.flips, old.open, (*old.turns[:k], *old.turns[k + 1 :]))
        for control in self._controls(gene, condition):
            if control not in have and len(old.turns) < MOST:
                for late in (False, True) if old.flips else (False,):
                    yield Parents(old.flips, old.open, (*old.turns, (control, late)))
                if control in old.flips:
                    rest = tuple(c for c in old.flips if c != control)
                    yield Parents(rest, old.open and bool(rest), (*old.turns, (control, False)))

    def confirmed(self, gene: int, parents: list[Parents]) -> list[Parents]:
        """Return the parents without gates whose loss the held-out cells do not mind."""
        for condition in (0, 1):
            for less in _without_one(parents[condition]):
                trial = [less if c == condition else p for c, p in enumerate(parents)]
                scores = [self.held.score_at(gene, p, self.train.fit(gene, p)[1]) for p in (parents, trial)]
                if scores[1] >= scores[0]:
                    return self.confirmed(gene, trial)
        return parents

    def run(self) -> list[list[Parents]]:
        """Return, for each gene, its parents in both conditions.

        Genes are explained alone first; genes that then explain each other in a circle are explained again in the order
        in which earlier genes may act on later ones that is best for all of them together.
        """
        found = [self.gene(g) for g in range(self.n)]
        for _ in range(self.n):
            parts = [_circle([p[c] for p in found]) for c in (0, 1)]
            condition = 1 if parts[1] else 0
            part = parts[condition]
            if not part:
                break
            known: dict[tuple[int, frozenset[int]], list[Parents]] = {}
            best = -math.inf
            chosen: tuple[int, ...] = ()
            for order in _orders(part):
                value = sum(self.value(g, self.after(g, order, condition, known)) for g in order)
                if value > best:
                    best, chosen = value, order
            for g in chosen:
                found[g] = self.after(g, chosen, condition, known)
            self.banned[condition] |= {(c, t) for k, t in enumerate(chosen) for c in chosen[k + 1 :]}
        return found

    def after(
        self,
        gene: int,
        order: Sequence[int],
        condition: int,
        known: dict[tuple[int, frozenset[int]], list[Parents]],
    ) -> list[Parents]:
        """Return a gene's parents where the genes after it in `order` do not act on it.

        Parameters
        ----------
        order
            Genes in time order.
        known
            What was found before, by gene and the set of genes after it; added to.
        """
        later = frozenset(order[order.index(gene) + 1 :])
        if (gene, later) not in known:
            extra = {(c, gene) for c in later} - self.banned[condition]
            self.banned[condition] |= extra
            known[gene, later] = self.gene(gene)
            self.banned[condition] -= extra
        return known[gene, later]

    def _controls(self, gene: int, condition: int) -> list[int]:
        return [c for c in range(self.n) if self.allowed[c, gene] and (c, gene) not in self.banned[condition]]


def _without_one(parents: Parents) -> Iterator[Parents]:
    for k in range(len(parents.flips)):
        rest = (*parents.flips[:k], *parents.flips[k + 1 :])
        yield Parents(rest, parents.open and bool(rest), parents.turns)
    for k in range(len(parents.turns)):
        yield Parents(parents.flips, parents.open, (*parents.turns[:k], *parents.turns[k + 1 :]))


def _orders(part: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield the orders of a few genes, or some at random of many."""
    if len(part) <= ALL_ORDERS:
        yield from itertools.permutations(part)
        return
    rng = np.random.default_rng(0)
    for _ in range(SOME_ORDERS):
        yield tuple(int(g) for g in rng.permutation(part))


def _circle(parents: Sequence[Parents]) -> list[int] | None:
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
