"""Counts in every container that AnnData holds: where they are, and as plain sparse rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from samplers.errors import InputError, nearest

#: The name under which the counts of `adata.raw` are asked for.
RAW = "raw"
#: Rows of a dense matrix made sparse at once.
ROWS = 4096


def where(layer: str | None) -> str:
    """Return how messages call the matrix: "X", "raw.X" or "layer 'counts'"."""
    return "X" if layer is None else "raw.X" if layer == RAW else f"layer {layer!r}"


def matrix_of(adata: Any, layer: str | None) -> tuple[Any, pd.DataFrame]:
    """Return a matrix of an AnnData and the table of its genes.

    Parameters
    ----------
    adata
        The AnnData.
    layer
        X where None; "raw" is `adata.raw.X` with its own genes, unless there is a layer of that name.

    Raises
    ------
    InputError
        For a matrix that is not there, with the nearest names.
    """
    if layer is None:
        x = adata.X
        if x is None:
            raise InputError(f"adata.X is empty: put the counts there or name a layer{elsewhere(adata, None)}")
        return x, adata.var
    if not isinstance(layer, str):
        raise InputError(f"layer must be the name of a layer, not {layer!r}")
    if layer in adata.layers:
        return adata.layers[layer], adata.var
    if layer == RAW and adata.raw is not None:
        return adata.raw.X, adata.raw.var
    known = [*adata.layers.keys(), *([RAW] if adata.raw is not None else [])]
    raise InputError(f"adata has no layer {layer!r}{nearest(layer, known)}")


def in_memory(x: Any) -> bool:
    """Return whether a matrix is in memory rather than on disk or computed on demand."""
    return sp.issparse(x) or isinstance(x, np.ndarray | pd.DataFrame)


def as_rows(x: Any) -> Any:
    """Return counts in memory as CSR with sorted columns, summed duplicates and no stored zeros; the input is left alone.

    Parameters
    ----------
    x
        `(n_cells, n_genes)`: a sparse matrix or array of any format, a dense array in either order. A canonical CSR is
        returned with its own arrays.

    Raises
    ------
    InputError
        For values that are not real numbers.
    """
    x = x.to_numpy() if isinstance(x, pd.DataFrame) else x
    kind = np.dtype(x.dtype)
    if kind.kind not in "biuf":
        raise InputError(f"the matrix holds {kind}, not real numbers")
    if not sp.issparse(x):
        if isinstance(x, np.ma.MaskedArray) and np.ma.is_masked(x):
            raise InputError("the matrix is masked: fill the masked values first")
        x = np.asarray(x)
        return sp.vstack([sp.csr_matrix(_plain(x[i : i + ROWS])) for i in range(0, max(len(x), 1), ROWS)], format="csr")
    rows = x if x.format == "csr" else x.tocsr()
    data = _plain(np.asarray(rows.data))
    # a new object around the same arrays: asking whether they are sorted must not touch the user's matrix
    rows = sp.csr_matrix((data, np.asarray(rows.indices), np.asarray(rows.indptr)), shape=rows.shape, copy=False)
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    if len(rows.data) and not rows.data.all():
        rows = rows.copy()
        rows.eliminate_zeros()
    return rows


def _plain(values: np.ndarray) -> np.ndarray:
    """Return numbers in a type that scipy computes with."""
    if values.dtype in (np.float16, bool):
        return values.astype(np.float32)
    # of the other byte order, as some files hold them
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def take_columns(rows: sp.csr_matrix, columns: np.ndarray) -> sp.csr_matrix:
    """Return the given columns of CSR rows in that order, zeros for a column of -1.

    Parameters
    ----------
    rows
        `(n_cells, n_theirs)`.
    columns
        `(n_wanted,)`, the column of each wanted gene.
    """
    if len(columns) == rows.shape[1] and (columns == np.arange(len(columns))).all():
        return rows
    place = np.full(rows.shape[1], -1, dtype=np.int32)
    place[columns[columns >= 0]] = np.flatnonzero(columns >= 0)
    mapped = place[rows.indices]
    kept = mapped >= 0
    running = np.concatenate([[0], np.cumsum(kept)])
    taken = sp.csr_matrix((rows.data[kept], mapped[kept], running[rows.indptr]), shape=(rows.shape[0], len(columns)))
    taken.sort_indices()
    return taken


def looks_like_counts(x: Any, n: int = 200) -> bool:
    """Return whether the first rows of a matrix are non-negative integers, some above zero."""
    try:
        part = x[:n]
        part = part.compute() if hasattr(part, "dask") else part
        values = part.data if sp.issparse(part) else np.asarray(part)
        values = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OSError, InputError):
        return False
    return bool(values.size and np.isfinite(values).all() and (values >= 0).all() and values.any()) and bool(
        (values == np.rint(values)).all()
    )


def elsewhere(adata: Any, layer: str | None) -> str:
    """Return where else an AnnData seems to hold counts, as the end of a message."""
    found = [name for name in adata.layers if name not in (layer, None) and looks_like_counts(adata.layers[name])]
    if layer is not None and adata.X is not None and looks_like_counts(adata.X):
        return "; X holds counts: leave out layer="
    if layer != RAW and adata.raw is not None and looks_like_counts(adata.raw.X):
        return '; adata.raw holds counts: use layer="raw"'
    return f"; layer {found[0]!r} holds counts: use layer={found[0]!r}" if found else ""
