"""Arrays on disk are stored, and decompressed, chunk by chunk: which rows to read together so that each is read once."""

from __future__ import annotations

from typing import Any

import numpy as np

#: Rows of the largest chunk that becomes a block of its own.
MOST_ROWS = 8192


def chunk_length(array: Any) -> int:
    """Return how many entries along its first axis an array on disk keeps together; 0 where it is not chunked."""
    chunks = getattr(array, "chunks", None)
    length = chunks[0] if chunks else 0
    # a dask array's chunks are tuples of their own
    return int(length) if isinstance(length, int | np.integer) else 0


def every(n_rows: int, size: int) -> np.ndarray:
    """Return the edges of blocks of `size` rows, `(n_blocks + 1,)`, from 0 to `n_rows`."""
    return np.append(np.arange(0, n_rows, size), n_rows)


def dense_blocks(n_rows: int, chunk: int, size: int) -> np.ndarray:
    """Return the edges of blocks of about `size` rows of a dense matrix.

    Parameters
    ----------
    n_rows
        Rows of the matrix.
    chunk
        Rows kept together; 0 where they are not chunked.
    size
        Rows of a block, about.
    """
    if chunk > MOST_ROWS:
        return every(n_rows, max(size, MOST_ROWS))
    return every(n_rows, -(-size // chunk) * chunk if chunk else size)


def sparse_blocks(indptr: np.ndarray, chunk: int, size: int) -> np.ndarray:
    """Return the edges of blocks of about `size` rows that begin where a chunk of a sparse matrix's values does.

    Parameters
    ----------
    indptr
        Where each row begins, `(n_rows + 1,)`.
    chunk
        Values kept together; 0 where they are not chunked.
    size
        Rows of a block, at least about.
    """
    n_rows, n_values = len(indptr) - 1, int(indptr[-1])
    if not chunk or chunk >= n_values:
        return every(n_rows, size)
    rows = chunk * n_rows / n_values
    if rows > MOST_ROWS:
        return every(n_rows, max(size, MOST_ROWS))
    starts = np.arange(0, n_values, chunk * max(1, round(size / rows)))
    return np.unique(np.append(np.searchsorted(indptr, starts), n_rows))


class ChunkedValues:
    """One array of a sparse matrix on disk, with what a chunk holds of the row that began in the chunk before it.

    A block of rows that begins with a chunk ends a few values into another one. Those few are kept when that chunk is first
    read, so that it need not be decompressed for their sake.

    Parameters
    ----------
    array
        Values or columns, `(n_values,)`.
    indptr
        Where each row begins.
    """

    def __init__(self, array: Any, indptr: np.ndarray):
        self._array, self._indptr, self.chunk = array, indptr, chunk_length(array)
        self._ends: dict[int, np.ndarray] = {}

    def read(self, first: int, last: int) -> np.ndarray:
        """Return the values `first` to `last`."""
        if not self.chunk or last <= first:
            return self._array[first:last]
        start = (last - 1) // self.chunk * self.chunk
        end = self._ends.get(start)
        if start > first and end is not None and last - start <= len(end):
            found = np.concatenate([self._array[first:start], end[: last - start]])
        else:
            found = self._array[first:last]
        for chunk in range(-(-first // self.chunk) * self.chunk, last, self.chunk):
            length = int(self._indptr[np.searchsorted(self._indptr, chunk)]) - chunk
            if 0 < length <= last - chunk and chunk not in self._ends:
                self._ends[chunk] = found[chunk - first : chunk - first + length].copy()
        return found
