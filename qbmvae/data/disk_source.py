"""Cells on disk, handed out as minibatches: blocks in a shuffled order, rows shuffled within groups of blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from qbmvae.core.csr import CsrBlock, Pile, stack
from qbmvae.core.vae import Batch
from qbmvae.data.row_source import RowSource
from qbmvae.data.stores import ConcatenatedRows, RowStore

#: Rows in order that are read at once, about: each call of a library costs, and so does memory beyond the caches.
TOGETHER = 4096


class BlockSource(RowSource):
    """Cells out of core; memory is bounded by two groups of rows.

    Parameters
    ----------
    store
        The counts.
    categories, continuous, library, rows
        As in `RowSource`.
    block_size
        Rows read at once, about: blocks begin where the store's chunks do.
    group_size
        Rows shuffled together: the memory that a shuffle may take.
    shard
        (rank, world): this process takes every world-th block, and as many steps as every other.
    """

    def __init__(
        self,
        store: RowStore,
        categories: Sequence[np.ndarray],
        continuous: np.ndarray | None = None,
        library: np.ndarray | None = None,
        rows: np.ndarray | None = None,
        *,
        block_size: int = 1024,
        group_size: int = 32_768,
        shard: tuple[int, int] = (0, 1),
    ):
        super().__init__(store.shape[0], library, categories, continuous, rows, shard)
        self.store = store
        self.block_size, self.group_size = block_size, max(group_size, block_size)
        #: memory of groups that are done with: at most two
        self._free: list[Pile] = []
        # rows at which the blocks begin, and the end
        self._edges = store.blocks(block_size)

    def subset(self, rows: np.ndarray, shard: tuple[int, int] | None = None) -> BlockSource:
        """Return a view of some cells (indices into the whole)."""
        return BlockSource(
            self.store, self.categories, self.continuous, self.library, rows,
            block_size=self.block_size, group_size=self.group_size, shard=shard or self.shard,
        )  # fmt: skip

    def epoch(
        self, batch_size: int, seed: int | None, epoch: int = 0, start: int = 0, device: str | torch.device = "cpu"
    ) -> Iterator[Batch]:
        """Yield the minibatches of an epoch; parameters as in `MemorySource.epoch`.

        Parameters
        ----------
        batch_size, seed, epoch, start, device
            As in `MemorySource.epoch`.
        """
        groups = self._groups(seed, epoch)
        if not groups:
            return
        owner = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
        order = np.concatenate(groups)
        loaded: dict[int, tuple[np.ndarray, CsrBlock]] = {}
        # shuffled groups are large: each takes the memory of one that is done with
        piles: dict[int, Pile] = {}
        for part in self._parts(groups, batch_size, in_order=seed is None)[start:]:
            wanted = np.unique(owner[part])
            for old in [g for g in loaded if g < wanted[0]]:
                del loaded[old]
                self._free += [piles.pop(old)] if old in piles else []
            pieces = []
            for g in wanted:
                if g not in loaded:
                    if seed is not None:
                        piles[g] = self._free.pop() if self._free else Pile()
                    loaded[g] = self._load(groups[g], piles.get(g))
                there, block = loaded[g]
                pieces.append(block.take(np.searchsorted(there, order[part[owner[part] == g]]), view=seed is None))
            yield self.batch(order[part], stack(pieces), device)
        self._free += piles.values()

    def _parts(self, groups: list[np.ndarray], batch_size: int, in_order: bool) -> list[np.ndarray]:
        """Return the places in the epoch of each minibatch's rows."""
        places = np.arange(sum(map(len, groups)))
        # cells drawn at random are few of each read, whose pieces would be many; with several files memory is short already, and
        # pieces as they were read took .2 GB more of it
        scattered = len(places) < TOGETHER / 2 * len(groups)
        if not in_order or scattered or self.shard[1] > 1 or isinstance(self.store, ConcatenatedRows):
            return np.array_split(places, self.steps(batch_size))
        # what is read at once stays in one piece: joining rows of two reads would copy them
        read = np.split(places, np.cumsum([len(group) for group in groups])[:-1])
        return [part for rows in read for part in np.array_split(rows, -(-len(rows) // batch_size))]

    def _groups(self, seed: int | None, epoch: int) -> list[np.ndarray]:
        """Return the rows of each group in the order of the epoch."""
        block_of = self._block_of(self.rows)
        if seed is None:
            # in order, for evaluation: a few blocks at a time, or group after group of rows in another order than the file's
            rank, world = self.shard
            rows = np.array_split(self.rows, world)[rank]
            if (np.diff(rows) > 0).all():
                few = max(1, round(TOGETHER * (len(self._edges) - 1) / max(1, int(self._edges[-1]))))
                return np.split(rows, np.flatnonzero(np.diff(self._block_of(rows) // few)) + 1) if len(rows) else []
            return np.array_split(rows, max(1, -(-len(rows) // self.group_size))) if len(rows) else []
        rng = np.random.default_rng([seed, epoch])
        rank, world = self.shard
        blocks = rng.permutation(np.unique(block_of))[rank::world]
        by_block = np.argsort(block_of, kind="stable")
        edges = np.searchsorted(block_of[by_block], [blocks, blocks + 1])
        per_group = max(1, self.group_size * (len(self._edges) - 1) // max(1, int(self._edges[-1])))
        rng = np.random.default_rng([seed, epoch, rank])
        groups = []
        for first in range(0, len(blocks), per_group):
            chosen = [by_block[a:b] for a, b in edges.T[first : first + per_group]]
            groups.append(rng.permutation(self.rows[np.concatenate(chosen)]))
        return groups

    def block(self, rows: np.ndarray) -> CsrBlock:
        """Return the counts of the given cells."""
        there, block = self._load(rows)
        return block.take(np.searchsorted(there, rows))

    def _load(self, rows: np.ndarray, pile: Pile | None = None) -> tuple[np.ndarray, CsrBlock]:
        """Read `rows`, block by block, and return them in ascending order: few cells of many blocks stay few."""
        wanted = rows if (np.diff(rows) > 0).all() else np.unique(rows)
        blocks = self._read(wanted)
        return wanted, stack(list(blocks)) if pile is None else pile.of(blocks, self.n_columns)

    def _read(self, rows: np.ndarray) -> Iterator[CsrBlock]:
        """Yield rows, in ascending order, block by block; a few neighbouring ones at once."""
        if len(rows) and len(rows) < 2 * TOGETHER and rows[-1] - rows[0] == len(rows) - 1:
            yield self.store.read(int(rows[0]), int(rows[-1]) + 1)
            return
        for mine in np.split(rows, np.flatnonzero(np.diff(self._block_of(rows))) + 1):
            k = int(np.searchsorted(self._edges, mine[0], side="right")) - 1
            first, last = int(self._edges[k]), int(self._edges[k + 1])
            part = self.store.read(first, last)
            yield part.take(mine - first) if len(mine) < len(part) else part

    def _block_of(self, rows: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._edges, rows, side="right") - 1

    @property
    def n_columns(self) -> int:
        """Number of genes."""
        return self.store.shape[1]
