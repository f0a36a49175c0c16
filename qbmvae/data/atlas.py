"""An AnnData whose counts stay on disk, in one file or several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from anndata.io import read_elem

from qbmvae.core.csr import stack
from qbmvae.data import align
from qbmvae.data.counts import ON_DISK
from qbmvae.data.sources import expand
from qbmvae.data.stores import ConcatenatedRows, RowStore, columns_of, matrix_key, open_group, open_matrix
from samplers.errors import InputError, nearest

#: Rows read at once.
ROWS = 8192


class Atlas(AnnData):
    """Cells whose `obs` and `var` are in memory and whose counts are read in blocks from `store`.

    `X` is an empty matrix of the right shape: models read `store`. Slices work; copies of slices hold no counts and are
    refused by models.

    Parameters
    ----------
    store
        The counts.
    obs, var
        Tables of cells and genes.
    """

    store: RowStore

    def __init__(self, store: RowStore, obs: pd.DataFrame, var: pd.DataFrame):
        super().__init__(sp.csr_matrix(store.shape, dtype=np.float32), obs=obs, var=var)
        self.store = store
        self.uns[ON_DISK] = True

    def copy(self, filename: Any = None) -> Atlas:
        """Return the same cells with tables of their own; the counts stay where they are.

        Raises
        ------
        InputError
            Where a file is named.
        """
        if filename is not None:
            raise InputError("cells on disk have files already: open them with qbmvae.data.open_atlas")
        return Atlas(self.store, self.obs.copy(), self.var.copy())

    def with_genes(self, genes: Sequence[str]) -> Atlas:
        """Return the same cells with some of the genes, in the given order."""
        columns = align.genes(self.var_names, genes)
        return Atlas(columns_of(self.store, columns), self.obs.copy(), self.var.iloc[columns].copy())

    def to_memory(self, copy: bool = False, *, layer: str | None = None) -> AnnData:
        """Return the cells in memory, their counts in X, or in the layer that is named.

        Parameters
        ----------
        copy
            As in AnnData; counts are always read anew.
        layer
            Where models will look for the counts.
        """
        n, m = self.store.shape
        parts = [self.store.read(i, min(i + ROWS, n)) for i in range(0, n, ROWS)]
        x = sp.csr_matrix((n, m), dtype=np.float32)
        if parts:
            whole = stack(parts)
            x = sp.csr_matrix((whole.data, whole.indices, whole.indptr), shape=(n, m))
        obs, var = self.obs.copy(), self.var.copy()
        return AnnData(x, obs=obs, var=var) if layer is None else AnnData(obs=obs, var=var, layers={layer: x})


def open_atlas(
    paths: str | Path | Sequence[str | Path],
    *,
    layer: str | None = None,
    genes: Sequence[str] | None = None,
    obs_columns: Sequence[str] | None = None,
    by_columns: bool = False,
) -> Atlas:
    """Open `.h5ad` files (CSR) or `.zarr` stores for training and embedding out of core.

    Parameters
    ----------
    paths
        One file or several, folders of shards, patterns, text files of paths; local or fsspec URLs. See `sources.expand`.
    layer
        Layer with the counts; X by default, "raw" for `.raw.X` with its own genes.
    genes
        Genes to use, in this order; those shared by all files, in the order of the first, by default.
    obs_columns
        Columns of `obs` to keep; those shared by all files by default. Categories are unified.
    by_columns
        Read counts that are stored by columns (CSC) into memory; they are refused by default.

    Returns
    -------
    An `Atlas`, to be used like an AnnData by `QBMVAE.setup_anndata`, `QBMVAE(...)` and `get_latent_representation`.

    Raises
    ------
    InputError
        For missing or damaged files, genes that a file lacks, no shared genes, duplicated cells across files.
    """
    files = expand(paths)
    groups = [open_group(path) for path in files]
    tables = [_table(group, "obs", path) for group, path in zip(groups, files, strict=True)]
    places = [matrix_key(group, layer, path) for group, path in zip(groups, files, strict=True)]
    keys = ["raw/var" if place == "raw/X" else "var" for place in places]
    variables = [_table(group, key, path) for group, key, path in zip(groups, keys, files, strict=True)]
    for var, path in zip(variables, files, strict=True):
        if not var.index.is_unique:
            twice = var.index[var.index.duplicated()][0]
            raise InputError(f"{path}: gene {twice!r} appears more than once: make var_names unique")
    wanted = _genes([v.index for v in variables], genes, files)
    stores: list[RowStore] = [
        open_matrix(g, key, p, by_columns) for g, key, p in zip(groups, places, files, strict=True)
    ]
    columns = [wanted.get_indexer(v.index) for v in variables]
    shared = obs_columns if obs_columns is not None else [c for c in tables[0] if all(c in t for t in tables)]
    for table, path in zip(tables, files, strict=True):
        if missing := [c for c in shared if c not in table]:
            raise InputError(f"{path}: obs has no column {missing[0]!r}{nearest(missing[0], table.columns)}")
    obs = pd.concat([_as_text(t[list(shared)]) for t in tables])
    if not obs.index.is_unique:
        twice = obs.index[obs.index.duplicated()][0]
        raise InputError(f"cell {twice!r} appears more than once across the files: make obs_names unique")
    for name in obs:
        if obs[name].dtype == object:
            obs[name] = obs[name].astype("category")
    var = pd.DataFrame(index=wanted) if len(files) > 1 else variables[0].loc[wanted]
    return Atlas(ConcatenatedRows(stores, columns, len(wanted)), obs, var)


def _table(group: Any, key: str, path: str | Path) -> pd.DataFrame:
    try:
        return read_elem(group[key])
    except Exception as error:
        raise InputError(f"{path}: {key} cannot be read ({type(error).__name__}): is the file damaged?") from error


def _genes(indices: list[pd.Index], genes: Sequence[str] | None, files: list[Any]) -> pd.Index:
    if genes is not None:
        wanted = pd.Index(genes)
        for index, path in zip(indices, files, strict=True):
            missing = wanted.difference(index, sort=False)
            if len(missing):
                raise InputError(f"{path} lacks {len(missing)} of the genes asked for, first {missing[0]!r}")
        return wanted
    wanted = indices[0]
    for index in indices[1:]:
        wanted = wanted[wanted.isin(index)]
    if not len(wanted):
        raise InputError(f"{', '.join(map(str, files))} share no gene: do they name genes alike?")
    return wanted


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return categories as plain values, so that those of several files unite."""
    return table.assign(
        **{c: table[c].astype(object) for c in table if isinstance(table[c].dtype, pd.CategoricalDtype)}
    )
