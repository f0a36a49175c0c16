"""Counts as a model takes them: its own genes in its own order, checked once, in memory or read from disk in blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from qbmvae import fingerprint
from qbmvae.data import audit
from qbmvae.data.containers import as_rows, in_memory, matrix_of, take_columns, where
from qbmvae.data.scan import survey
from qbmvae.data.stores import DatasetRows, RowStore, SelectedRows, columns_of
from samplers.errors import InputError

#: Marks an `atlas.Atlas`, and copies of it.
ON_DISK = "_qbmvae_on_disk"


@dataclass
class Counts:
    """Checked counts.

    Attributes
    ----------
    rows
        `(n_cells, n_genes)` float32 CSR, sorted, without stored zeros; None where they stay on disk.
    store
        Where they are read from; None where they are in memory.
    library
        Total counts of each cell, `(n_cells,)` float32.
    totals
        Total counts of each gene, `(n_genes,)` float64.
    checksum
        Of the contents, the same for every container and file that holds them.
    """

    rows: sp.csr_matrix | None
    store: RowStore | None
    library: np.ndarray
    totals: np.ndarray
    checksum: tuple[int, int, int]

    def without(self, columns: np.ndarray) -> Counts:
        """Return the counts of the given genes only, which hold all counts there are."""
        if self.store is not None:
            store = columns_of(self.store, columns)
            return Counts(None, store, self.library, self.totals[columns], self.checksum)
        return Counts(take_columns(self.rows, columns), None, self.library, self.totals[columns], self.checksum)


def matrix_and_genes(adata: Any, layer: str | None) -> tuple[Any, pd.DataFrame, bool]:
    """Return the matrix that holds the counts, the table of its genes, and whether it is in memory.

    A matrix on disk that cannot be read by rows (CSC) is loaded.

    Raises
    ------
    InputError
        Where there is no such layer, or no counts.
    """
    if (store := getattr(adata, "store", None)) is not None:
        return store, adata.var, False
    if ON_DISK in adata.uns and not hasattr(adata._adata_ref, "store"):
        raise InputError("this is a copy of cells on disk without their counts: use the slice itself, or to_memory()")
    if _backed_view(adata, layer):
        whole, var = _whole(adata._adata_ref, layer)
        n, m = adata._adata_ref.n_obs, len(var)
        rows = np.arange(n)[adata._oidx]
        own = layer is None or hasattr(whole, "read") or layer in adata._adata_ref.layers
        if getattr(whole, "format", "csr") == "csr":
            store = SelectedRows(whole if hasattr(whole, "read") else DatasetRows(whole, where(layer)), rows)
            columns = np.arange(m)[adata._vidx] if own else np.arange(m)
            return columns_of(store, columns), adata.var if own else var, False
    x, var = matrix_of(adata, layer)
    if getattr(x, "format", "csr") == "csc" and hasattr(x, "to_memory"):
        x = x.to_memory()
    return x, var, in_memory(x)


def _backed_view(adata: Any, layer: str | None) -> bool:
    return adata.is_view and (
        hasattr(adata._adata_ref, "store") or (adata.isbacked and (layer is None or layer not in adata.layers))
    )


def _whole(adata: Any, layer: str | None) -> tuple[Any, pd.DataFrame]:
    return (adata.store, adata.var) if hasattr(adata, "store") else matrix_of(adata, layer)


def load(
    x: Any,
    columns: np.ndarray,
    *,
    counts: bool,
    name: str,
    obs_names: pd.Index,
    var_names: pd.Index,
    hint: Callable[[], str] | None = None,
) -> Counts:
    """Return checked counts of the given columns of a matrix.

    Parameters
    ----------
    x
        A matrix of `matrix_and_genes`.
    columns
        The column of each gene, -1 for one that is filled with zeros.
    counts
        Whether non-negative integers are needed; finite values otherwise.
    name
        What messages call the matrix.
    obs_names, var_names
        Names of cells and of the genes asked for.
    hint
        Says where else there are counts, for the message.

    Raises
    ------
    InputError
        For values that cannot be used, naming cell and gene.
    """
    if in_memory(x):
        try:
            rows = take_columns(as_rows(x), columns)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        audit.matrix(rows, counts=counts, name=name, obs_names=obs_names, var_names=var_names, elsewhere=hint)
        rows = rows.astype(np.float32, copy=False)
        library = np.asarray(rows.sum(axis=1, dtype=np.float64)).ravel().astype(np.float32)
        totals = np.asarray(rows.sum(axis=0, dtype=np.float64)).ravel()
        checksum = fingerprint.of_rows(rows, fingerprint.of_names(var_names))
        return Counts(rows, None, library, totals, checksum)
    store = columns_of(x if hasattr(x, "read") else DatasetRows(x, name), columns)
    found = survey(store, obs_names, var_names, counts=counts, name=name)
    return Counts(None, store, found.library, found.totals, found.checksum)
