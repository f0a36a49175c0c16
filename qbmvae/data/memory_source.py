"""Cells held in memory, handed out as minibatches in a seeded order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from qbmvae.core.csr import CsrBlock, take_rows
from qbmvae.core.vae import Batch
from qbmvae.data.row_source import RowSource


class MemorySource(RowSource):
    """Cells in memory.

    Parameters
    ----------
    x
        Counts, `(n_cells, n_genes)`, CSR or dense.
    library, categories, continuous
        As in `RowSource`.
    rows
        The cells to use, in this order; all by default.
    shard
        (rank, world): this process takes every world-th cell of the shuffled order, and as many steps as every other.
    """

    def __init__(
        self,
        x: sp.csr_matrix | sp.csr_array | np.ndarray,
        library: np.ndarray | None,
        categories: Sequence[np.ndarray],
        continuous: np.ndarray | None = None,
        rows: np.ndarray | None = None,
        shard: tuple[int, int] = (0, 1),
    ):
        # rows are sliced every step: the arrays are read directly, without scipy's checks
        counts: Any = x
        self.x: Any = counts if sp.issparse(counts) and counts.format == "csr" else sp.csr_matrix(counts)
        self._indptr = self.x.indptr.astype(np.int64, copy=False)
        self._plain = self.x.indices.dtype == np.int32 and self.x.data.dtype == np.float32
        super().__init__(x.shape[0], library, categories, continuous, rows, shard)

    def subset(self, rows: np.ndarray, shard: tuple[int, int] | None = None) -> MemorySource:
        """Return a view of some cells (indices into the whole)."""
        return MemorySource(self.x, self.library, self.categories, self.continuous, rows, shard or self.shard)

    def epoch(
        self, batch_size: int, seed: int | None, epoch: int = 0, start: int = 0, device: str | torch.device = "cpu"
    ) -> Iterator[Batch]:
        """Yield the minibatches of an epoch.

        Parameters
        ----------
        batch_size
            Cells a minibatch, about: the epoch is cut into even parts.
        seed
            Of the shuffle; None keeps the order.
        epoch
            Which epoch: each has its own order.
        start
            Minibatches to leave out at the start (a resumed epoch).
        device
            Where the tensors go.
        """
        order = self.rows
        if seed is not None:
            order = np.random.default_rng([seed, epoch]).permutation(order)
        rank, world = self.shard
        for part in np.array_split(order[rank::world], self.steps(batch_size))[start:]:
            yield self.take(part, device)

    def block(self, rows: np.ndarray) -> CsrBlock:
        """Return the counts of the given cells."""
        if self._plain:
            return CsrBlock(self._indptr, self.x.indices, self.x.data, self.n_columns).take(rows)
        return take_rows(self._indptr, self.x.indices, self.x.data, rows, self.n_columns)

    def take(self, rows: np.ndarray, device: str | torch.device = "cpu") -> Batch:
        """Return the given cells as a minibatch."""
        return self.batch(rows, self.block(rows), device)

    @property
    def n_columns(self) -> int:
        """Number of genes."""
        return self.x.shape[1]
