"""Rows of counts on disk: read in contiguous blocks, never whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from qbmvae import fingerprint
from qbmvae.core.csr import CsrBlock, stack
from qbmvae.data.chunks import ChunkedValues, chunk_length, dense_blocks, every, sparse_blocks
from qbmvae.data.containers import RAW, as_rows
from samplers.errors import InputError, nearest, needs

#: Rows no further apart than this are read in one piece.
NEAR = 64


class RowStore(Protocol):
    """A matrix that hands out contiguous rows."""

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        ...

    def read(self, start: int, stop: int) -> CsrBlock:
        """Return rows `start` to `stop`."""
        ...

    def blocks(self, size: int) -> np.ndarray:
        """Return the edges of blocks of about `size` rows that are best read together, `(n_blocks + 1,)`."""
        ...

    def stamp(self) -> tuple[Any, ...]:
        """Return what changes when the rows change, see `fingerprint.of_matrix`."""
        ...


class DatasetRows:
    """Rows of a matrix that slices: an on-disk CSR of anndata, an h5py, zarr or dask array, a scipy CSR or numpy array.

    Parameters
    ----------
    matrix
        The matrix.
    name
        What errors call it.

    Raises
    ------
    InputError
        For a matrix that is not stored by rows.
    """

    def __init__(self, matrix: Any, name: str = "X"):
        if getattr(matrix, "format", "csr") != "csr":
            raise InputError(f"{name} is stored as {matrix.format}: rows cannot be streamed; convert it to CSR")
        self._matrix = matrix
        self.name = name
        #: of a sparse matrix on disk: values and columns, read as they are needed, and where each row begins
        self._parts: tuple[ChunkedValues, ChunkedValues, np.ndarray] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return tuple(self._matrix.shape)

    def stamp(self) -> tuple[Any, ...]:
        """Return what changes when the matrix changes."""
        return fingerprint.of_matrix(self._matrix)

    def read(self, start: int, stop: int) -> CsrBlock:
        """Return rows `start` to `stop`; unsorted columns do no harm, rows stay where they are.

        Raises
        ------
        InputError
            Where the file cannot be read.
        """
        try:
            part = self._sparse(start, stop) if hasattr(self._matrix, "group") else self._matrix[start:stop]
        except (OSError, RuntimeError, KeyError) as error:
            raise InputError(
                f"{self.name}: rows {start} to {stop} cannot be read ({error}): is the file damaged?"
            ) from error
        return block_of(as_rows(part.compute() if hasattr(part, "dask") else part))

    def blocks(self, size: int) -> np.ndarray:
        """Return the edges of blocks of about `size` rows, where the matrix's chunks begin."""
        if hasattr(self._matrix, "group"):
            data, _, indptr = self._arrays()
            return sparse_blocks(indptr, data.chunk, size)
        return dense_blocks(self.shape[0], chunk_length(self._matrix), size)

    def _arrays(self) -> tuple[ChunkedValues, ChunkedValues, np.ndarray]:
        if self._parts is None:
            group = self._matrix.group
            indptr = np.asarray(group["indptr"][:], dtype=np.int64)
            self._parts = ChunkedValues(group["data"], indptr), ChunkedValues(group["indices"], indptr), indptr
        return self._parts

    def _sparse(self, start: int, stop: int) -> sp.csr_matrix:
        """Return rows from their three arrays: anndata's own slicing costs twice the time."""
        data, indices, indptr = self._arrays()
        stop = min(stop, len(indptr) - 1)
        first, last = int(indptr[start]), int(indptr[stop])
        parts = data.read(first, last), indices.read(first, last), indptr[start : stop + 1] - first
        return sp.csr_matrix(parts, shape=(stop - start, self._matrix.shape[1]), copy=False)


class SelectedRows:
    """Some rows of a store, in any order: a view of a file.

    Parameters
    ----------
    store
        The store.
    rows
        Which of its rows, `(n_cells,)`.
    """

    def __init__(self, store: RowStore, rows: np.ndarray):
        self._store, self._rows = store, rows

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return len(self._rows), self._store.shape[1]

    def stamp(self) -> tuple[Any, ...]:
        """Return what changes when the rows change."""
        return "rows", fingerprint.of_array(self._rows), *self._store.stamp()

    def blocks(self, size: int) -> np.ndarray:
        """Return the edges of blocks of `size` rows."""
        return every(len(self._rows), size)

    def read(self, start: int, stop: int) -> CsrBlock:
        """Return rows `start` to `stop` of the selection: near ones are read together, distant ones apart."""
        wanted, place = np.unique(self._rows[start:stop], return_inverse=True)
        cuts = np.flatnonzero(np.diff(wanted) > NEAR) + 1
        parts = []
        for mine in np.split(wanted, cuts) if len(wanted) else []:
            block = self._store.read(int(mine[0]), int(mine[-1]) + 1)
            parts.append(block.take(mine - mine[0]))
        if not parts:
            return self._store.read(0, 0)
        together = stack(parts)
        return together.take(place)


def block_of(rows: sp.csr_matrix) -> CsrBlock:
    """Return CSR rows as a block."""
    return CsrBlock(
        rows.indptr.astype(np.int64, copy=False),
        rows.indices.astype(np.int32, copy=False),
        rows.data.astype(np.float32, copy=False),
        rows.shape[1],
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

    def stamp(self) -> tuple[Any, ...]:
        """Return what changes when the rows change."""
        return "files", *map(fingerprint.of_array, self._columns), *(s.stamp() for s in self._stores)

    def blocks(self, size: int) -> np.ndarray:
        """Return the edges of blocks of about `size` rows; none spans two files."""
        parts = [store.blocks(size)[:-1] + edge for store, edge in zip(self._stores, self._edges, strict=False)]
        return np.unique(np.append(np.concatenate(parts), self._edges[-1]))

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


def _map_columns(block: CsrBlock, columns: np.ndarray, n_columns: int) -> CsrBlock:
    if len(columns) == n_columns and (columns == np.arange(n_columns)).all():
        return block
    mapped = columns[block.indices]
    kept = mapped >= 0
    running = np.concatenate([[0], np.cumsum(kept)])
    found = sp.csr_matrix((block.data[kept], mapped[kept], running[block.indptr]), shape=(len(block), n_columns))
    # the order of a file's genes must not show in what is read from it
    found.sort_indices()
    return block_of(found)


def open_group(path: str | Path) -> Any:
    """Open an `.h5ad` file or a `.zarr` store for reading, local or at any fsspec URL, and return its root group.

    Raises
    ------
    InputError
        For a file that is missing, damaged or of another format.
    MissingExtraError
        Where a URL needs fsspec, which is not installed.
    """
    text = str(path)
    try:
        if text.rstrip("/").endswith(".zarr"):
            import zarr

            return zarr.open_group(text, mode="r")
        import h5py

        if "://" in text:
            with needs("fsspec", "atlas"):
                import fsspec
            return h5py.File(fsspec.open(text, "rb").open(), "r")
        return h5py.File(text, "r")
    except FileNotFoundError as error:
        raise InputError(f"there is no file {text}") from error
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{text} is damaged or no .h5ad/.zarr file ({error})") from error


def matrix_key(group: Any, layer: str | None, path: str | Path) -> str:
    """Return where an opened file keeps its counts.

    Parameters
    ----------
    group
        The file.
    layer
        X where None; "raw" is `raw/X`, unless there is a layer of that name.
    path
        Its name, for messages.

    Raises
    ------
    InputError
        Where the file has no such layer, or no X.
    """
    layers = list(group["layers"]) if "layers" in group else []
    if layer is None:
        key = "X"
    elif layer in layers:
        key = f"layers/{layer}"
    elif layer == RAW and "raw/X" in group:
        key = "raw/X"
    else:
        known = [*layers, *([RAW] if "raw/X" in group else [])]
        raise InputError(f"{path} has no layer {layer!r}{nearest(layer, known)}")
    if key not in group:
        raise InputError(f"{path} has no X: name a layer{nearest('counts', layers) if layers else ''}")
    return key


def is_sparse(element: Any) -> bool:
    """Return whether an element of a file is a sparse matrix."""
    return element.attrs.get("encoding-type") in ("csr_matrix", "csc_matrix")


def open_matrix(group: Any, key: str, path: str | Path, by_columns: bool = False) -> DatasetRows:
    """Return the rows of a matrix of an opened file.

    Parameters
    ----------
    group
        The file.
    key
        Where the matrix is, see `matrix_key`.
    path
        The file's name, for messages.
    by_columns
        Whether a matrix stored by columns is read into memory; it is refused otherwise.
    """
    from anndata.io import sparse_dataset

    element = group[key]
    matrix = sparse_dataset(element) if is_sparse(element) else element
    if by_columns and getattr(matrix, "format", "csr") == "csc":
        matrix = as_rows(matrix.to_memory())
    return DatasetRows(matrix, f"{path}:{key}")


def columns_of(store: RowStore, columns: np.ndarray) -> RowStore:
    """Return a store of the given columns of another, zeros for -1."""
    n = store.shape[1]
    if len(columns) == n and (columns == np.arange(n)).all():
        return store
    place = np.full(n, -1, dtype=np.int64)
    place[columns[columns >= 0]] = np.flatnonzero(columns >= 0)
    return ConcatenatedRows([store], [place], len(columns))
