"""Training cells from an iterable that reads and shuffles on its own: annbatch's loader, a database, a queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from qbmvae.core.batch import Batch
from qbmvae.core.csr import CsrBlock, take_rows
from qbmvae.data.disk_source import BlockSource, make_batch
from qbmvae.data.memory_source import MemorySource
from qbmvae.data.stores import stack
from samplers.errors import InputError, MissingExtraError

#: (seed, epoch) to that epoch's pieces: (counts, obs_names) pairs, or mappings with "X" and "obs" as annbatch yields.
Stream = Callable[[int | None, int], Iterable[Any]]


class StreamSource:
    """Cells of a stream, re-cut into even minibatches; covariates come from the model's data, by `obs_names`.

    Parameters
    ----------
    stream
        Called with seed and epoch; every training cell must come once an epoch. Other cells are passed over.
    names
        `obs_names` of the model's data.
    cells
        Those of the model's cells that train, with their covariates.
    """

    def __init__(self, stream: Stream, names: pd.Index, cells: MemorySource | BlockSource):
        if cells.shard[1] > 1:
            raise InputError("a stream feeds one process: train on one device, or open the files with open_atlas")
        self.stream, self.names, self.cells = stream, names, cells
        self._wanted = np.zeros(len(names), dtype=bool)
        self._wanted[cells.rows] = True

    def __len__(self) -> int:
        return len(self.cells)

    def steps(self, batch_size: int) -> int:
        """Return the number of minibatches an epoch."""
        return self.cells.steps(batch_size)

    def epoch(
        self, batch_size: int, seed: int | None, epoch: int = 0, start: int = 0, device: str | torch.device = "cpu"
    ) -> Iterator[Batch]:
        """Yield the minibatches of an epoch; parameters as in `MemorySource.epoch`."""
        steps = self.steps(batch_size)
        ends = np.cumsum([len(part) for part in np.array_split(np.arange(len(self)), steps)])
        waiting: list[tuple[CsrBlock, np.ndarray]] = []
        step, given, seen = 0, 0, 0
        for block, rows in map(self._piece, self.stream(seed, epoch)):
            if len(rows):
                waiting.append((block, rows))
                seen += len(rows)
            while step < steps and seen >= ends[step]:
                whole, rows = stack([b for b, _ in waiting]), np.concatenate([r for _, r in waiting])
                n = int(ends[step]) - given
                first, rest = np.arange(n), np.arange(n, len(rows))
                if step >= start:
                    yield self._batch(_take(whole, first), rows[:n], device)
                waiting = [(_take(whole, rest), rows[n:])] if len(rest) else []
                given, step = int(ends[step]), step + 1
        if seen != len(self):
            raise InputError(
                f"the stream gave {seen} training cells in epoch {epoch}, but there are {len(self)}: every cell must come "
                "once an epoch (annbatch: drop_last=False)"
            )

    def _piece(self, item: Any) -> tuple[CsrBlock, np.ndarray]:
        """Return a piece's training cells and their rows in the model's data."""
        x, names = (item["X"], item["obs"].index) if isinstance(item, dict) else item
        rows = self.names.get_indexer(pd.Index(names))
        if (rows < 0).any():
            raise InputError(
                f"the stream gave cell {names[int(np.argmin(rows))]!r}, which the model's data do not hold"
            )
        x = sp.csr_matrix(x)
        width = self.cells.n_columns
        if x.shape != (len(rows), width):
            raise InputError(f"the stream gave counts of shape {x.shape} for {len(rows)} cells of {width} genes")
        kept = np.flatnonzero(self._wanted[rows])
        return take_rows(x.indptr.astype(np.int64), x.indices, x.data, kept, width), rows[kept]

    def _batch(self, block: CsrBlock, rows: np.ndarray, device: str | torch.device) -> Batch:
        cells = self.cells
        return make_batch(rows, block, cells.library, cells.categories, cells.continuous, device)


def _take(block: CsrBlock, rows: np.ndarray) -> CsrBlock:
    return take_rows(block.indptr, block.indices, block.data, rows, block.n_columns)


def annbatch_stream(
    collection: str | Path, *, batch_size: int = 4096, chunk_size: int = 32, preload_nchunks: int = 256
) -> Stream:
    """Return a stream over an annbatch collection (Python 3.12 or newer): `QBMVAE.train(stream=...)`.

    Parameters
    ----------
    collection
        Folder of the collection, a zarr store made by `annbatch.DatasetCollection.add_adatas`.
    batch_size, chunk_size, preload_nchunks
        Of `annbatch.Loader`.
    """
    try:
        import annbatch
    except ImportError as error:
        raise MissingExtraError("annbatch (Python >= 3.12)", "atlas") from error

    def pieces(seed: int | None, epoch: int) -> Iterable[Any]:
        rng = np.random.default_rng([seed or 0, epoch])
        loader = annbatch.Loader(
            batch_size=batch_size, chunk_size=chunk_size, preload_nchunks=preload_nchunks, shuffle=seed is not None, rng=rng
        )  # fmt: skip
        return loader.use_collection(annbatch.DatasetCollection(str(collection)))

    return pieces
