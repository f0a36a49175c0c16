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

from qbmvae.data.stores import ConcatenatedRows, DatasetRows, RowStore, open_group, open_matrix
from samplers.errors import InputError


class Atlas(AnnData):
    """Cells whose `obs` and `var` are in memory and whose counts are read in blocks from `store`.

    `X` is an empty matrix of the right shape. Slices and copies are plain AnnData objects without counts: subset genes
    and cells when opening.
    """

    store: RowStore

    def __init__(self, store: RowStore, obs: pd.DataFrame, var: pd.DataFrame):
        super().__init__(sp.csr_matrix(store.shape, dtype=np.float32), obs=obs, var=var)
        self.store = store


def open_atlas(
    paths: str | Path | Sequence[str | Path],
    *,
    layer: str | None = None,
    genes: Sequence[str] | None = None,
    obs_columns: Sequence[str] | None = None,
) -> Atlas:
    """Open `.h5ad` files (CSR) or `.zarr` stores for training and embedding out of core.

    Parameters
    ----------
    paths
        One file or several; local paths or fsspec URLs.
    layer
        Layer with the counts; X by default.
    genes
        Genes to use, in this order; those shared by all files, in the order of the first, by default.
    obs_columns
        Columns of `obs` to keep; those shared by all files by default. Categories are unified.

    Returns
    -------
    An `Atlas`, to be used like an AnnData by `QBMVAE.setup_anndata`, `QBMVAE(...)` and `get_latent_representation`.

    Raises
    ------
    InputError
        For missing or damaged files, genes that a file lacks, no shared genes, duplicated cells across files.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    if not files:
        raise InputError("open_atlas needs at least one file")
    groups = [open_group(path) for path in files]
    tables = [_table(group, "obs", path) for group, path in zip(groups, files, strict=True)]
    variables = [_table(group, "var", path) for group, path in zip(groups, files, strict=True)]
    for var, path in zip(variables, files, strict=True):
        if not var.index.is_unique:
            twice = var.index[var.index.duplicated()][0]
            raise InputError(f"{path}: gene {twice!r} appears more than once: make var_names unique")
    wanted = _genes([v.index for v in variables], genes, files)
    stores: list[RowStore] = [open_matrix(g, layer, p) for g, p in zip(groups, files, strict=True)]
    columns = [wanted.get_indexer(v.index) for v in variables]
    shared = obs_columns if obs_columns is not None else [c for c in tables[0] if all(c in t for t in tables)]
    for table, path in zip(tables, files, strict=True):
        if missing := [c for c in shared if c not in table]:
            raise InputError(f"{path}: obs has no column {missing[0]!r}")
    obs = pd.concat([_as_text(t[list(shared)]) for t in tables])
    if not obs.index.is_unique:
        twice = obs.index[obs.index.duplicated()][0]
        raise InputError(f"cell {twice!r} appears more than once across the files: make obs_names unique")
    for name in obs:
        if obs[name].dtype == object:
            obs[name] = obs[name].astype("category")
    return Atlas(ConcatenatedRows(stores, columns, len(wanted)), obs, pd.DataFrame(index=wanted))


def rows_of(adata: AnnData, layer: str | None) -> RowStore | None:
    """Return the row store of an `Atlas` or a backed AnnData; None for counts in memory."""
    if isinstance(adata, Atlas):
        return adata.store
    if not adata.isbacked:
        return None
    return DatasetRows(adata.X if layer is None else adata.layers[layer], "X" if layer is None else layer)


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
