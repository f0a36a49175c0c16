"""Training cells from an iterable that reads and shuffles on its own: annbatch's loader, a database, a queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from qbmvae.core.batch import Batch
from qbmvae.core.csr import CsrBlock
from qbmvae.data import align
from qbmvae.data.align import as_text
from qbmvae.data.containers import as_rows, take_columns
from qbmvae.data.disk_source import BlockSource
from qbmvae.data.memory_source import MemorySource
from qbmvae.data.stores import block_of, stack
from samplers.errors import InputError, needs

#: (seed, epoch) to that epoch's pieces, see `StreamSource`.
Stream = Callable[[int | None, int], Iterable[Any]]
#: Cells of each epoch's first piece whose counts are compared with the model's data.
COMPARED = 64


class StreamSource:
    """Cells of a stream, re-cut into even minibatches; covariates come from the model's data, by `obs_names`.

    Parameters
    ----------
    stream
        Called with seed and epoch; returns pieces: AnnData objects, `(counts, obs_names, var_names)`, mappings with "X" and
        "obs" (and "var") as annbatch yields, or `(counts, obs_names)` with the genes in the order of the model's data.
        Every training cell must come once an epoch; other cells are passed over.
    names
        `obs_names` of the model's data.
    cells
        Those of the model's cells that train, with their covariates.
    genes
        The model's genes.
    data_genes
        Genes of the model's data, in their order, among them those that the model left out.

    Raises
    ------
    InputError
        For pieces that cannot be used, and where the first cells of an epoch have other counts than the model's data.
    """

    def __init__(
        self,
        stream: Stream,
        names: pd.Index,
        cells: MemorySource | BlockSource,
        genes: Sequence[str],
        data_genes: Sequence[str],
    ):
        if cells.shard[1] > 1:
            raise InputError("a stream feeds one process: train on one device, or open the files with open_atlas")
        self.stream, self.names, self.cells = stream, names, cells
        self.genes, self.data_genes = genes, data_genes
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
        """Yield the minibatches of an epoch; parameters as in `MemorySource.epoch`.

        Parameters
        ----------
        batch_size, seed, epoch, start, device
            As in `MemorySource.epoch`.

        Raises
        ------
        InputError
            Unless every training cell comes once.
        """
        steps = self.steps(batch_size)
        ends = np.cumsum([len(part) for part in np.array_split(np.arange(len(self)), steps)])
        waiting: list[tuple[CsrBlock, np.ndarray]] = []
        step, given, seen = 0, 0, 0
        came = np.zeros(len(self.names), dtype=bool)
        for block, rows in map(self._piece, self.stream(seed, epoch)):
            if len(rows):
                if not seen:
                    self._compare(block, rows)
                if came[rows].any() or len(np.unique(rows)) < len(rows):
                    twice = self.names[rows[came[rows]][0]] if came[rows].any() else self.names[_first_repeated(rows)]
                    raise InputError(
                        f"the stream gave cell {twice!r} twice in epoch {epoch}: every cell must come once"
                    )
                came[rows] = True
                waiting.append((block, rows))
                seen += len(rows)
            while step < steps and seen >= ends[step]:
                whole, rows = stack([b for b, _ in waiting]), np.concatenate([r for _, r in waiting])
                n = int(ends[step]) - given
                first, rest = np.arange(n), np.arange(n, len(rows))
                if step >= start:
                    yield self.cells.batch(rows[:n], whole.take(first), device)
                waiting = [(whole.take(rest), rows[n:])] if len(rest) else []
                given, step = int(ends[step]), step + 1
        if seen != len(self):
            raise InputError(
                f"the stream gave {seen} training cells in epoch {epoch}, but there are {len(self)}: every cell must come "
                "once an epoch (annbatch: drop_last=False)"
            )

    def _piece(self, item: Any) -> tuple[CsrBlock, np.ndarray]:
        """Return a piece's training cells and their rows in the model's data."""
        x, names, genes = _parts(item)
        rows = as_text(self.names).get_indexer(as_text(names))
        if (rows < 0).any():
            raise InputError(
                f"the stream gave cell {names[int(np.argmin(rows))]!r}, which the model's data do not hold"
            )
        x = as_rows(x)
        if genes is None:
            widths = {len(self.genes): self.genes, len(self.data_genes): self.data_genes}
            if x.shape[0] != len(rows) or x.shape[1] not in widths:
                raise InputError(
                    f"the stream gave counts of shape {x.shape} for {len(rows)} cells of {len(self.genes)} genes"
                )
            genes = widths[x.shape[1]]
        block = block_of(take_columns(x, align.genes(genes, self.genes)))
        kept = np.flatnonzero(self._wanted[rows])
        return block.take(kept), rows[kept]

    def _compare(self, block: CsrBlock, rows: np.ndarray) -> None:
        """Refuse counts that are not those of the model's data: genes in another order, normalised values."""
        some = np.argsort(rows)[:COMPARED]
        theirs, ours = block.take(some).dense().numpy(), self.cells.block(rows[some]).dense().numpy()
        differ = np.argwhere(theirs != ours)
        if len(differ):
            i, j = differ[0]
            raise InputError(
                f"the stream's counts are not those of the model's data: {theirs[i, j]:g} in the place of {ours[i, j]:g} at cell "
                f"{self.names[rows[some][i]]!r}, gene {self.genes[j]!r}; give the genes' names with each piece, or the same order"
            )


def _parts(item: Any) -> tuple[Any, Any, Any]:
    """Return counts, names of cells, and names of genes (None where they are not given) of a piece."""
    if hasattr(item, "obs_names"):
        return item.X, item.obs_names, item.var_names
    if isinstance(item, Mapping):
        var = item.get("var")
        return item["X"], item["obs"].index, None if var is None else getattr(var, "index", var)
    if not isinstance(item, tuple | list) or len(item) not in (2, 3):
        raise InputError("a stream gives AnnData objects, (counts, obs_names, var_names) or (counts, obs_names)")
    return item[0], item[1], item[2] if len(item) == 3 else None


def _first_repeated(rows: np.ndarray) -> int:
    values, counts = np.unique(rows, return_counts=True)
    return int(values[counts > 1][0])


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

    Raises
    ------
    MissingExtraError
        Where annbatch is not installed.
    """
    with needs("annbatch (Python >= 3.12)", "atlas"):
        import annbatch

    def pieces(seed: int | None, epoch: int) -> Iterable[Any]:
        rng = np.random.default_rng([seed or 0, epoch])
        loader = annbatch.Loader(
            batch_size=batch_size, chunk_size=chunk_size, preload_nchunks=preload_nchunks, shuffle=seed is not None, rng=rng
        )  # fmt: skip
        return loader.use_collection(annbatch.DatasetCollection(str(collection)))

    return pieces
