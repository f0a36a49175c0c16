"""Is this input usable? Checks before the first epoch that name the rows, columns and keys at fault."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from samplers.errors import InputError, nearest


def where(layer: str | None) -> str:
    """Return how messages call the matrix: "X" or "layer 'counts'"."""
    return "X" if layer is None else f"layer {layer!r}"


def names(adata: Any) -> None:
    """Raise `InputError` for duplicated cell or gene names."""
    for label, index, cure in (
        ("obs_names (cells)", adata.obs_names, "adata.obs_names_make_unique()"),
        ("var_names (genes)", adata.var_names, "adata.var_names_make_unique()"),
    ):
        if not index.is_unique:
            twice = list(dict.fromkeys(index[index.duplicated()]))
            raise InputError(f"{label} are not unique: {_some(twice)} appear more than once; run {cure}")


def keys(adata: Any, wanted: Iterable[str | None], option: str) -> None:
    """Raise `InputError` for a column that `adata.obs` lacks or that holds missing values."""
    for key in wanted:
        if key is None:
            continue
        if key not in adata.obs:
            raise InputError(f"{option}: adata.obs has no column {key!r}{nearest(key, adata.obs.columns)}")
        missing = np.flatnonzero(adata.obs[key].isna().to_numpy())
        if len(missing):
            raise InputError(
                f"{option}: obs column {key!r} is missing for {len(missing)} cells (first: "
                f"{_some(adata.obs_names[missing])}); drop them or fill the column"
            )


def layer_of(adata: Any, layer: str | None) -> Any:
    """Return the matrix of a layer, X where None; a missing one is named."""
    if layer is None:
        if adata.X is None:
            raise InputError("adata.X is empty: put the counts there or name a layer")
        return adata.X
    if layer not in adata.layers:
        raise InputError(f"adata has no layer {layer!r}{nearest(layer, adata.layers.keys())}")
    return adata.layers[layer]


def matrix(
    x: Any, *, counts: bool, layer: str | None, obs_names: Sequence[str], var_names: Sequence[str], first_row: int = 0
) -> None:
    """Raise `InputError` for values that the model cannot use.

    Parameters
    ----------
    x
        `(n_cells, n_genes)`, sparse or dense: a whole matrix or a block of its rows.
    counts
        Whether non-negative integers are needed; finite values otherwise.
    layer
        Where it comes from, for the message.
    obs_names, var_names
        Names of its rows and columns.
    first_row
        Number of the block's first row.
    """
    values = x.data if sp.issparse(x) else np.asarray(x)
    if not np.issubdtype(values.dtype, np.number) and values.dtype != bool:
        raise InputError(f"{where(layer)} holds {values.dtype}, not numbers")
    checks = [("NaN or infinite", lambda v: ~np.isfinite(v), "remove or repair them")]
    if counts:
        cure = 'give raw counts (another layer=?), or use gene_likelihood="gaussian" for log-normalised values'
        checks += [("negative", lambda v: v < 0, cure), ("non-integer", lambda v: v != np.rint(v), cure)]
    for what, test, cure in checks:
        bad = test(values)
        if not bad.any():
            continue
        cells, genes = _positions(x, bad)
        value = values[bad][0] if sp.issparse(x) else values[cells[0], genes[0]]
        rows = list(dict.fromkeys(cells.tolist()))
        raise InputError(
            f"{where(layer)} holds {what} values in {len(rows)} cells; first {value:g} at cell {obs_names[cells[0]]!r} (row "
            f"{first_row + cells[0]}), gene {var_names[genes[0]]!r}; rows {_some([first_row + r for r in rows])}: {cure}"
        )


def empty(x: Any, *, layer: str | None, obs_names: Sequence[str], var_names: Sequence[str] | None) -> None:
    """Raise `InputError` for cells without counts and, where `var_names` are given, for genes without counts."""
    if 0 in x.shape:
        raise InputError(f"{where(layer)} has shape {x.shape}: there are no {'cells' if x.shape[0] == 0 else 'genes'}")
    for axis, what, labels, cure in (
        (1, "cells", obs_names, "sc.pp.filter_cells(adata, min_counts=1)"),
        (0, "genes", var_names, "sc.pp.filter_genes(adata, min_counts=1)"),
    ):
        if labels is None:
            continue
        none = np.flatnonzero(np.asarray(x.sum(axis=axis)).ravel() == 0)
        if len(none):
            raise InputError(
                f"{where(layer)} has {len(none)} {what} without any count (first: {_some([labels[i] for i in none[:3]])}): "
                f"remove them with {cure}"
            )


def _positions(x: Any, bad: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not sp.issparse(x):
        found = np.argwhere(bad)
        return found[:, 0], found[:, 1]
    x = x.tocsr() if x.format != "csr" else x
    at = np.flatnonzero(bad)
    return np.searchsorted(x.indptr, at, side="right") - 1, x.indices[at]


def _some(items: Iterable[Any], most: int = 3) -> str:
    items = list(items)
    return ", ".join(str(i) for i in items[:most]) + (", ..." if len(items) > most else "")
