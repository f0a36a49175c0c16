"""Rows of counts on disk: read in contiguous blocks, never whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from qbmvae.core.csr import CsrBlock
from samplers.errors import InputError, MissingExtraError, nearest


class RowStore(Protocol):
    """A matrix that hands out contiguous rows."""

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        ...

    def read(self, start: int, stop: int) -> CsrBlock:
        """Return rows `start` to `stop`."""
        ...


class DatasetRows:
    """Rows of a matrix that slices: an on-disk CSR of anndata, an h5py or zarr dataset, a scipy CSR or numpy array.

    Parameters
    ----------
    matrix
        The matrix.
    name
        What errors call it.
    """

    def __init__(self, matrix: Any, name: str = "X"):
        if getattr(matrix, "format", "csr") != "csr":
            raise InputError(f"{name} is stored as {matrix.format}: rows cannot be streamed; convert it to CSR")
        self._matrix = matrix
        self.name = name

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return tuple(self._matrix.shape)

    def read(self, start: int, stop: int) -> CsrBlock:
        """Return rows `start` to `stop`; unsorted columns do no harm, rows stay where they are."""
        try:
            part = self._matrix[start:stop]
        except (OSError, RuntimeError, KeyError) as error:
            raise InputError(
                f"{self.name}: rows {start} to {stop} cannot be read ({error}): is the file damaged?"
            ) from error
        part = sp.csr_matrix(part)
        return CsrBlock(
            part.indptr.astype(np.int64, copy=False),
            part.indices.astype(np.int32, copy=False),
            part.data.astype(np.float32, copy=False),
            part.shape[1],
        )


class ConcatenatedRows:
    """Several stores one below the other, each with its columns mapped onto the shared genes.

    Parameters
    ----------
    stores
        The stores.
    columns
        For each store, the shared column of each of its own, -1 for one that is left out.
    n_columns
        Number of shared genes.
    """

    def __init__(self, stores: Sequence[RowStore], columns: Sequence[np.ndarray], n_columns: int):
        self._stores, self._columns, self._n_columns = list(stores), list(columns), n_columns
        self._edges = np.concatenate([[0], np.cumsum([s.shape[0] for s in stores])])

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return int(self._edges[-1]), self._n_columns

    def read(self, start: int, stop: int) -> CsrBlock:
        """Return rows `start` to `stop`, across files where they span several."""
        parts = []
        first = int(np.searchsorted(self._edges, start, side="right")) - 1
        while start < stop:
            end = min(stop, int(self._edges[first + 1]))
            block = self._stores[first].read(start - int(self._edges[first]), end - int(self._edges[first]))
            parts.append(_map_columns(block, self._columns[first], self._n_columns))
            start, first = end, first + 1
        return stack(parts)


def stack(blocks: Sequence[CsrBlock]) -> CsrBlock:
    """Return blocks of rows, one below the other."""
    if len(blocks) == 1:
        return blocks[0]
    shifts = np.concatenate([[0], np.cumsum([len(b.data) for b in blocks])])
    indptr = np.concatenate([[0], *(b.indptr[1:] + s for b, s in zip(blocks, shifts, strict=False))]).astype(np.int64)
    return CsrBlock(
        indptr,
        np.concatenate([b.indices for b in blocks]),
        np.concatenate([b.data for b in blocks]),
        blocks[0].n_columns,
    )


def _map_columns(block: CsrBlock, columns: np.ndarray, n_columns: int) -> CsrBlock:
    if len(columns) == n_columns and (columns == np.arange(n_columns)).all():
        return block
    mapped = columns[block.indices]
    kept = mapped >= 0
    running = np.concatenate([[0], np.cumsum(kept)])
    return CsrBlock(running[block.indptr], mapped[kept].astype(np.int32), block.data[kept], n_columns)


def open_group(path: str | Path) -> Any:
    """Open an `.h5ad` file or a `.zarr` store for reading, local or at any fsspec URL, and return its root group."""
    text = str(path)
    try:
        if text.rstrip("/").endswith(".zarr"):
            import zarr

            return zarr.open_group(text, mode="r")
        import h5py

        if "://" in text:
            try:
                import fsspec
            except ImportError as error:
                raise MissingExtraError("fsspec", "atlas") from error
            return h5py.File(fsspec.open(text, "rb").open(), "r")
        return h5py.File(text, "r")
    except FileNotFoundError as error:
        raise InputError(f"there is no file {text}") from error
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{text} is damaged or no .h5ad/.zarr file ({error})") from error


def open_matrix(group: Any, layer: str | None, path: str | Path) -> DatasetRows:
    """Return the rows of X, or of a layer, of an opened file."""
    from anndata.io import sparse_dataset

    if layer is None:
        key = "X"
    else:
        layers = list(group["layers"]) if "layers" in group else []
        if layer not in layers:
            raise InputError(f"{path} has no layer {layer!r}{nearest(layer, layers)}")
        key = f"layers/{layer}"
    if key not in group:
        raise InputError(f"{path} has no X: name a layer")
    element = group[key]
    is_sparse = "encoding-type" in element.attrs and element.attrs["encoding-type"] in ("csr_matrix", "csc_matrix")
    return DatasetRows(sparse_dataset(element) if is_sparse else element, f"{path}:{key}")
