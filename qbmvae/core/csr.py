"""A block of sparse rows: what a minibatch of counts is before anything makes it dense."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numba
import numpy as np
import torch
from torch import Tensor

from qbmvae.core.fused.elementary import FAST, log1p32


@dataclass
class CsrBlock:
    """Rows of a CSR matrix of counts.

    Attributes
    ----------
    indptr
        `(n_rows + 1,)` int64.
    indices
        `(nnz,)` int32, column of each value.
    data
        `(nnz,)` float32.
    n_columns
        Number of columns.
    """

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    n_columns: int

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def density(self) -> float:
        """Share of the values that are stored."""
        return len(self.data) / max(1, len(self) * self.n_columns)

    def __getitem__(self, rows: slice) -> CsrBlock:
        """Return consecutive rows, without a copy of their values."""
        start, stop, _ = rows.indices(len(self))
        first, last = self.indptr[start], self.indptr[stop]
        indptr = self.indptr[start : stop + 1] - first
        return CsrBlock(indptr, self.indices[first:last], self.data[first:last], self.n_columns)

    def take(self, rows: np.ndarray, view: bool = True) -> CsrBlock:
        """Return the rows at some positions, in any order; neighbours without a copy of their values, where a view will do."""
        if view and len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return self[int(rows[0]) : int(rows[-1]) + 1]
        return take_rows(self.indptr, self.indices, self.data, rows, self.n_columns)

    def log1p(self) -> CsrBlock:
        """Return the rows with log(1 + x) in the place of x."""
        logs = np.empty_like(self.data)
        _log1p(self.data, logs)
        return CsrBlock(self.indptr, self.indices, logs, self.n_columns)

    def sums(self) -> np.ndarray:
        """Return each row's sum, `(n_rows,)` float32."""
        running = np.concatenate([[0.0], np.cumsum(self.data, dtype=np.float64)])
        return (running[self.indptr[1:]] - running[self.indptr[:-1]]).astype(np.float32)

    def dense(self, device: str | torch.device = "cpu") -> Tensor:
        """Return the rows as a dense tensor, `(n_rows, n_columns)`."""
        out = torch.zeros(len(self), self.n_columns)
        _scatter(self.indptr, self.indices, self.data, out.numpy())
        return out.to(device)


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


class Pile:
    """Blocks of rows put one below the other as they come, in memory that is used again: new memory costs more than a copy."""

    def __init__(self) -> None:
        self._indices, self._data = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)

    def of(self, blocks: Iterable[CsrBlock], n_columns: int) -> CsrBlock:
        """Return blocks, one below the other; what the pile returned before is overwritten.

        Parameters
        ----------
        blocks
            Taken one at a time.
        n_columns
            Their width.
        """
        edges, stop = [np.zeros(1, dtype=np.int64)], 0
        for block in blocks:
            start, stop = stop, stop + len(block.data)
            if stop > len(self._data):
                self._indices, self._data = (_wider(a, start, stop) for a in (self._indices, self._data))
            self._indices[start:stop], self._data[start:stop] = block.indices, block.data
            edges.append(block.indptr[1:] + start)
        return CsrBlock(np.concatenate(edges), self._indices[:stop], self._data[:stop], n_columns)


def _wider(array: np.ndarray, used: int, size: int) -> np.ndarray:
    """Return an array of at least a size that begins with what another holds."""
    wide = np.empty(max(size, 2 * used), dtype=array.dtype)
    wide[:used] = array[:used]
    return wide


def take_rows(indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, rows: np.ndarray, n_columns: int) -> CsrBlock:
    """Return the given rows of a CSR matrix as a block.

    Parameters
    ----------
    indptr, indices, data
        The matrix.
    rows
        Positions, in any order.
    n_columns
        Width of the matrix.
    """
    sizes = indptr[rows + 1] - indptr[rows]
    block = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(sizes, out=block[1:])
    columns = np.empty(block[-1], dtype=np.int32)
    values = np.empty(block[-1], dtype=np.float32)
    _gather(indptr, indices, data, rows, block, columns, values)
    return CsrBlock(block, columns, values, n_columns)


@numba.njit(cache=True, nogil=True)
def _copy(theirs, mine):
    for k in range(len(mine)):
        mine[k] = theirs[k]


@numba.njit(cache=True, nogil=True)
def _gather(indptr, indices, data, rows, block, columns, values):
    for i in range(len(rows)):
        start, first, size = indptr[rows[i]], block[i], block[i + 1] - block[i]
        # one array at a time: a loop that writes two does not vectorise
        _copy(indices[start : start + size], columns[first : first + size])
        _copy(data[start : start + size], values[first : first + size])


@numba.njit(error_model="numpy", fastmath=FAST, cache=True, nogil=True)
def _log1p(values, out):
    for k in range(len(values)):
        out[k] = log1p32(values[k])


@numba.njit(cache=True, nogil=True)
def _scatter(indptr, indices, data, out):
    for i in range(len(indptr) - 1):
        for k in range(indptr[i], indptr[i + 1]):
            # duplicated entries add up, as in scipy
            out[i, indices[k]] += data[k]
