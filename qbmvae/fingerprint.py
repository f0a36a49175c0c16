"""Are these the same cells as before? Checksums of contents, cheap next to anything that a model does with them."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from samplers.threads import in_order


def of_array(values: Any, start: int = 0) -> int:
    """Return the checksum of an array's bytes: 7 GB/s on one core, and one changed value changes it."""
    values = np.asarray(values)
    if values.dtype == object:
        return zlib.crc32(pd.util.hash_array(values).tobytes(), start)
    if not (values.flags.c_contiguous or values.flags.f_contiguous):
        values = np.ascontiguousarray(values)
    flat = values.ravel(order="K").view(np.uint8)
    return zlib.crc32(flat, zlib.crc32(f"{values.shape}{values.dtype}".encode(), start))


def of_matrix(x: Any, n_threads: int = 1) -> tuple[Any, ...]:
    """Return what changes when a matrix changes: of its contents in memory, of its file on disk.

    Parameters
    ----------
    x
        Sparse or dense in memory, on disk (h5py, zarr, anndata's sparse datasets), a store of rows, or a dask array.
    n_threads
        How many look at the arrays of a sparse matrix.
    """
    if sp.issparse(x):
        flat = x if x.format in ("csr", "csc", "bsr") else x.tocsr()
        return x.format, x.shape, *in_order(of_array, (flat.indices, flat.data, flat.indptr), n_threads)
    if isinstance(x, pd.DataFrame):
        return "table", x.shape, of_array(x.to_numpy())
    if hasattr(x, "read") and hasattr(x, "stamp"):
        return x.stamp()
    if isinstance(x, np.ndarray):
        return "dense", x.shape, of_array(x)
    if (name := getattr(x, "name", None)) is not None and hasattr(x, "dask"):
        # a dask array's name is a hash of how it is made
        return "dask", x.shape, name
    return "disk", x.shape, *_file_of(x)


def of_column(values: pd.Series) -> int:
    """Return the checksum of a column of a table, whatever its type."""
    return zlib.crc32(pd.util.hash_pandas_object(values.astype(object), index=False).to_numpy().tobytes())


def of_names(names: Sequence[str]) -> np.ndarray:
    """Return a checksum of each name, `(n_names,)` uint32."""
    return np.asarray([zlib.crc32(str(name).encode()) for name in names], dtype=np.uint32)


def of_rows(rows: Any, genes: np.ndarray, before: tuple[int, int, int] = (0, 0, 0)) -> tuple[int, int, int]:
    """Return the running checksums of sparse rows; cutting them into other blocks, or genes without counts, change nothing.

    Parameters
    ----------
    rows
        CSR with sorted columns, no duplicates, no stored zeros; float32.
    genes
        Checksum of each column's name, see `of_names`.
    before
        Checksums of the rows above.
    """
    lengths = np.diff(rows.indptr).astype(np.int64)
    parts = (lengths, genes[rows.indices], rows.data.astype(np.float32, copy=False))
    sums = [zlib.crc32(np.ascontiguousarray(p).view(np.uint8).data, b) for p, b in zip(parts, before, strict=True)]
    return sums[0], sums[1], sums[2]


def of_all(*parts: Any) -> str:
    """Return one short word for arrays, sparse matrices and columns of names together, to be kept in a file.

    It changes with contents, order and types of values; not with the width of a sparse matrix's indices.
    """
    sums: list[Any] = []
    for part in parts:
        if sp.issparse(part):
            rows = part.tocsr()
            sums.append(
                (rows.shape, *map(of_array, (rows.indptr.astype(np.int64), rows.indices.astype(np.int64), rows.data)))
            )
        else:
            array = np.asarray(part)
            sums.append(of_array(array.astype(str).astype(object) if array.dtype.kind in "OUS" else array))
    return hashlib.sha256(repr(sums).encode()).hexdigest()[:16]


def _file_of(x: Any) -> tuple[Any, ...]:
    """Return name, size and time of the file behind a matrix on disk."""
    inner = getattr(x, "group", x)
    name = getattr(getattr(inner, "file", None), "filename", None) or str(getattr(inner, "store", ""))
    path = name.removeprefix("file://")
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return name, str(getattr(inner, "name", ""))
    return name, str(getattr(inner, "name", "")), found.st_size, found.st_mtime_ns
