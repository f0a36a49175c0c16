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
from functools import partial, reduce
from operator import xor

import numpy as np

from qbmvae.cellsim.ordering import ALL_ORDERS, Parents, best_order, circle, good_order
from qbmvae.cellsim.parity import Observed, Turn, entropy_score, fit, likelihood, packed, table

#: Flips of one gene and condition that are searched together; further ones are added one by one.
TOGETHER = 2
#: Most gates of one kind on one gene and condition.
MOST = 6
#: Nats by which a gene's own bits may differ between conditions by chance, and the price of each nat beyond.
ALIKE, UNLIKE = 6.0, 10.0


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
        self.known: dict[tuple[int, Parents, Parents], float] = {}

    def value(self, gene: int, parents: Sequence[Parents], least: float = -math.inf) -> float:
        """Return log-likelihood less the price of the gates; a rotation's angle costs what the BIC takes, and 3 nats.

        A flip is one of the rotations: without the price of its angle a rotation would always fit as well. Where the value
        is surely not above `least`, a bound that is not either is returned.

        Parameters
        ----------
        least
            The value that is to be exceeded.
        """
        key = (gene, parents[0], parents[1])
        if key in self.known:
            return self.known[key]
        price = self.least_gain * sum(p.size for p in parents)
        price += sum(len(p.turns) for p in parents) * (0.5 * math.log(self.train.n_cells) + 3)
        together = self.train.fit(gene, parents)[0]
        if together - price <= least:
            return together - price
        # own bits that differ between the conditions contradict the model: their likelihood must not be traded for others'
        unlike = max(0.0, self.train.apart(gene, parents) - together - ALIKE)
        self.known[key] = together - price - UNLIKE * unlike
        return self.known[key]

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
        moves = ((self.flips, self.turns), (self.pairs,))
        stage = 0
        while stage < len(moves):
            before = value
            for condition in conditions:
                best = parents
                for new in itertools.chain.from_iterable(move(gene, condition, parents) for move in moves[stage]):
                    trial = [new if c == condition else p for c, p in enumerate(parents)]
                    now = self.value(gene, trial, value + 1e-6)
                    if now > value + 1e-6:
                        best, value = trial, now
                parents = best
            # costly moves come where the others have nothing left to improve
            stage = 0 if value > before else stage + 1
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
        """Yield the present parents with one rotation more, less, a flip turned into a rotation, or a rotation into a flip."""
        if "cry" not in self.kinds:
            return
        old = parents[condition]
        have = {control for control, _ in old.turns}
        for k, (control, _) in enumerate(old.turns):
            rest = (*old.turns[:k], *old.turns[k + 1 :])
            yield Parents(old.flips, old.open, rest)
            if "cx" in self.kinds and control not in old.flips and len(old.flips) < MOST:
                # a rotation by pi is a flip
                yield Parents(tuple(sorted((*old.flips, control))), old.open, rest)
        for control in self._controls(gene, condition):
            if control not in have and len(old.turns) < MOST:
                for late in (False, True) if old.flips else (False,):
                    yield Parents(old.flips, old.open, (*old.turns, (control, late)))
                if control in old.flips:
                    others = tuple(c for c in old.flips if c != control)
                    yield Parents(others, old.open and bool(others), (*old.turns, (control, False)))

    def pairs(self, gene: int, condition: int, parents: Sequence[Parents]) -> Iterator[Parents]:
        """Yield the present parents with every two rotations in place of theirs.

        Two rotations that undo each other where both act show less alone than a gene that follows their target.
        """
        old = parents[condition]
        if old.turns:
            for pair in itertools.combinations(self._controls(gene, condition), 2):
                yield Parents(old.flips, old.open, tuple((control, False) for control in pair))

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

        Genes are explained alone first. Genes that then explain each other in a circle are explained again in the order in
        which earlier genes may act on later ones that is best for all of them together. Where that makes a circle with
        other genes, all of them are put in order anew: a choice between two genes may be wrong before a third has its place.
        """
        found = [self.gene(g) for g in range(self.n)]
        known = {(g, frozenset[int]()): parents for g, parents in enumerate(found)}
        ordered: list[list[tuple[int, ...]]] = [[], []]
        while True:
            parts = [circle([p[c] for p in found]) for c in (0, 1)]
            condition = 1 if parts[1] else 0
            part = parts[condition]
            if not part:
                return found
            touched = [order for order in ordered[condition] if set(order) & set(part)]
            ordered[condition] = [order for order in ordered[condition] if order not in touched]
            self.banned[condition] = {pair for order in ordered[condition] for pair in _against(order)}
            # genes that were explained alone are known only as long as nothing else is banned
            memory = {key: p for key, p in known.items() if not key[1]} if not self.banned[0] | self.banned[1] else {}
            genes = list(dict.fromkeys([*(g for order in touched for g in order), *part]))
            search = best_order if len(genes) <= ALL_ORDERS else good_order
            chosen = search(genes, partial(self._value_first, condition=condition, known=memory))
            for k, g in enumerate(chosen):
                found[g] = self.after(g, chosen[k:], condition, memory)
            ordered[condition].append(chosen)
            self.banned[condition] |= set(_against(chosen))

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
        later = frozenset(order) - {gene}
        if (gene, later) in known:
            return known[gene, later]
        # with fewer genes to choose from, what needs none of the others stays the best
        for (other, fewer), parents in known.items():
            if other == gene and fewer <= later and not later & parents[condition].acting:
                return parents
        if (gene, later) not in known:
            extra = {(c, gene) for c in later} - self.banned[condition]
            self.banned[condition] |= extra
            known[gene, later] = self.gene(gene)
            self.banned[condition] -= extra
        return known[gene, later]

    def _value_first(
        self, order: tuple[int, ...], condition: int, known: dict[tuple[int, frozenset[int]], list[Parents]]
    ) -> float:
        return self.value(order[0], self.after(order[0], order, condition, known))

    def _controls(self, gene: int, condition: int) -> list[int]:
        return [c for c in range(self.n) if self.allowed[c, gene] and (c, gene) not in self.banned[condition]]


def _against(order: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the pairs (control, target) that an order forbids."""
    return ((c, t) for k, t in enumerate(order) for c in order[k + 1 :])


def _without_one(parents: Parents) -> Iterator[Parents]:
    for k in range(len(parents.flips)):
        rest = (*parents.flips[:k], *parents.flips[k + 1 :])
        yield Parents(rest, parents.open and bool(rest), parents.turns)
    for k in range(len(parents.turns)):
        yield Parents(parents.flips, parents.open, (*parents.turns[:k], *parents.turns[k + 1 :]))
