"""Cells that can be handed out in minibatches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from qbmvae.core.batch import Batch


class Source(Protocol):
    """What the trainer asks of cells, see `qbmvae.data.memory_source.MemorySource`."""

    def __len__(self) -> int: ...

    def steps(self, batch_size: int) -> int:
        """Return the number of minibatches an epoch."""
        ...

    def epoch(self, batch_size: int, seed: int | None, epoch: int, start: int, device: Any) -> Iterator[Batch]:
        """Yield the minibatches of an epoch.

        Parameters
        ----------
        batch_size
            Cells of a minibatch.
        seed
            Of the order; None for the cells' own order.
        epoch
            Which one: each has an order of its own.
        start
            Minibatches to pass over.
        device
            Where the minibatches go.
        """
        ...
