"""Is this input usable? Checks before the first epoch that name the rows, columns and keys at fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from samplers.errors import InputError, nearest, require


def unique(index: pd.Index, label: str, remedy: str) -> None:
    """Raise `InputError` for names that appear more than once.

    Parameters
    ----------
    index
        The names.
    label
        What messages call them.
    remedy
        The call that makes them unique.

    Raises
    ------
    InputError
        Where a name comes twice.
    """
    if not index.is_unique:
        twice = list(dict.fromkeys(index[index.duplicated()]))
        raise InputError(f"{label} are not unique: {_some(twice)} appear more than once; run {remedy}")


def own_columns(adata: Any) -> list[str]:
    """Return the columns of `adata.obs` without those that scvi-tools adds."""
    return [c for c in adata.obs.columns if not str(c).startswith("_scvi")]


def keys(adata: Any, wanted: Iterable[str | None] | None, option: str, missing: bool = False) -> None:
    """Raise `InputError` for a column that `adata.obs` lacks or that holds missing values.

    Parameters
    ----------
    adata
        The cells.
    wanted
        Names of columns; None among them is passed over.
    option
        The argument that names them, for the message.
    missing
        Whether values may be missing.

    Raises
    ------
    InputError
        For a column that is not usable.
    """
    if isinstance(wanted, str) or (wanted is not None and not isinstance(wanted, Iterable)):
        raise InputError(f"{option} takes a list of columns, not {wanted!r}: write {option}=[{wanted!r}]")
    wanted = list(wanted or [])
    if twice := [key for key in wanted if key is not None and wanted.count(key) > 1]:
        raise InputError(f"{option} names {twice[0]!r} more than once")
    for key in wanted:
        if key is None:
            continue
        if not isinstance(key, str):
            raise InputError(f"{option}: a column of adata.obs is named by text, not {key!r}")
        require(key, adata.obs, f"{option}: adata.obs has no column", own_columns(adata))
        if list(adata.obs.columns).count(key) > 1:
            raise InputError(
                f"{option}: adata.obs has {list(adata.obs.columns).count(key)} columns {key!r}: rename one"
            )
        gone = np.zeros(0, dtype=np.int64) if missing else np.flatnonzero(adata.obs[key].isna().to_numpy())
        if len(gone):
            raise InputError(
                f"{option}: obs column {key!r} is missing for {len(gone)} cells (first: "
                f"{_some(adata.obs_names[gone])}); drop them or fill the column"
            )


def numbers(adata: Any, key: str, positive: bool) -> np.ndarray:
    """Return a column of `adata.obs` as numbers, `(n_cells,)` float64; an unusable one raises `InputError`.

    Parameters
    ----------
    adata
        The cells.
    key
        The column.
    positive
        Whether values must be above zero: size factors.

    Raises
    ------
    InputError
        For values that are no numbers, not finite, or not positive where they must be.
    """
    column = adata.obs[key]
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    try:
        # text that reads as numbers is refused too: a column of text is a mistake more often than a size factor
        if not pd.api.types.is_numeric_dtype(column.dtype):
            raise TypeError
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        numeric = [c for c in own_columns(adata) if pd.api.types.is_numeric_dtype(adata.obs[c].dtype)]
        raise InputError(f"obs column {key!r} holds {column.dtype}, not numbers{nearest(key, numeric)}") from None
    bad = np.flatnonzero(~np.isfinite(values) | ((values <= 0) if positive else False))
    if len(bad):
        raise InputError(
            f"obs column {key!r} is {values[bad[0]]} at cell {adata.obs_names[bad[0]]!r} (row {bad[0]}): it must be "
            f"finite{' and positive' if positive else ''}"
        )
    return values


def matrix(
    x: sp.csr_matrix,
    *,
    counts: bool,
    name: str,
    obs_names: Sequence[str],
    var_names: Sequence[str],
    first_row: int = 0,
    elsewhere: Callable[[], str] | None = None,
) -> None:
    """Raise `InputError` for values that the model cannot use.

    Parameters
    ----------
    x
        `(n_cells, n_genes)`, CSR: a whole matrix or a block of its rows, see `containers.as_rows`.
    counts
        Whether non-negative integers are needed; finite values otherwise.
    name
        What messages call the matrix.
    obs_names, var_names
        Names of its rows and columns.
    first_row
        Number of the block's first row.
    elsewhere
        Says where counts are to be found, for the message.

    Raises
    ------
    InputError
        For values that are not usable; the message names the first cell and gene.
    """
    values = x.data
    checks = [("NaN or infinite", lambda v: ~np.isfinite(v), "remove or repair them")]
    if counts and values.dtype.kind != "u":
        remedy = 'give raw counts (another layer=?), or use gene_likelihood="gaussian" for log-normalised values'
        checks += [("negative", lambda v: v < 0, remedy), ("non-integer", lambda v: v != np.rint(v), remedy)]
    for what, test, remedy in checks:
        bad = np.flatnonzero(test(values))
        if not len(bad):
            continue
        cells, genes = np.searchsorted(x.indptr, bad, side="right") - 1, x.indices[bad]
        rows = list(dict.fromkeys(cells.tolist()))
        hint = elsewhere() if elsewhere is not None and what != "NaN or infinite" else ""
        raise InputError(
            f"{name} holds {what} values in {len(rows)} cells; first {values[bad[0]]:g} at cell {obs_names[cells[0]]!r} "
            f"(row {first_row + cells[0]}), gene {var_names[genes[0]]!r}; rows {_some([first_row + r for r in rows])}: "
            f"{remedy}{hint}"
        )


def _some(items: Iterable[Any], most: int = 3) -> str:
    items = list(items)
    return ", ".join(str(i) for i in items[:most]) + (", ..." if len(items) > most else "")
