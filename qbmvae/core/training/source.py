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
        """Yield the minibatches of an epoch."""
        ...
