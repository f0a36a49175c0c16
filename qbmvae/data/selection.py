"""Which cells a call means: everything that numpy and pandas users pass as `indices=`, as positions."""

from __future__ import annotations

from typing import Any, overload

import numpy as np
import pandas as pd

from samplers.errors import InputError, nearest

#: They have a length, but no order or no meaning as a list of cells.
_NO_LISTS = (str, bytes, dict, set, frozenset, pd.DataFrame)


@overload
def positions(indices: None, obs_names: pd.Index, option: str = "indices") -> None: ...
@overload
def positions(indices: Any, obs_names: pd.Index, option: str = "indices") -> np.ndarray: ...
def positions(indices: Any, obs_names: pd.Index, option: str = "indices") -> np.ndarray | None:
    """Return the positions of the cells that a selection means, or None for all cells.

    Parameters
    ----------
    indices
        None, integers (negative ones count from the end), a boolean mask, names of cells, a slice or a range; as a
        list, numpy array, torch tensor, pandas Series, Index or Categorical, or the tuple that `np.where` returns.
    obs_names
        Names of the cells, `(n_cells,)`.
    option
        What messages call the selection.

    Returns
    -------
    `(n_selected,)` int64, in the order given; repeated cells are repeated.

    Raises
    ------
    InputError
        For floats, missing values, other types, names or positions that do not exist, masks of another length.
    """
    if indices is None:
        return None
    n = len(obs_names)
    if isinstance(indices, slice):
        return np.arange(n)[indices]
    if isinstance(indices, _NO_LISTS) or not hasattr(indices, "__len__") or getattr(indices, "shape", None) == ():
        raise InputError(f"{option} must list cells, not {type(indices).__name__}: give positions, a mask or names")
    if isinstance(indices, pd.Series) and pd.api.types.is_bool_dtype(indices.dtype):
        indices = _aligned(indices, obs_names, option)
    values = _values(indices, option)
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    if values.dtype == bool:
        if len(values) != n:
            raise InputError(f"{option} is a mask of length {len(values)}, but there are {n} cells")
        return np.flatnonzero(values)
    if values.dtype.kind in "iu":
        outside = np.flatnonzero((values >= n) | ((values < -n) if values.dtype.kind == "i" else False))
        if len(outside):
            raise InputError(
                f"{option} holds {values[outside[0]]}, but there are {n} cells: 0 to {n - 1}, or -{n} to -1"
            )
        return values.astype(np.int64) % max(n, 1)
    return _by_name(values, obs_names, option)


def _aligned(mask: pd.Series, obs_names: pd.Index, option: str) -> pd.Series:
    """Return a mask in the order of the cells: a Series that is labelled with their names is matched by name."""
    if mask.index.equals(obs_names) or isinstance(mask.index, pd.RangeIndex):
        return mask
    if len(mask) != len(obs_names):
        raise InputError(f"{option} is a mask of length {len(mask)}, but there are {len(obs_names)} cells")
    if not (mask.index.is_unique and mask.index.isin(obs_names).all()):
        raise InputError(
            f"{option} is a Series whose index is not obs_names: pass its values, or index it by obs_names"
        )
    return mask.reindex(obs_names)


def _values(indices: Any, option: str) -> np.ndarray:
    """Return the selection as a flat array of bools, integers or text."""
    if isinstance(indices, tuple) and len(indices) == 1 and np.ndim(indices[0]) == 1:
        # what np.where returns
        indices = indices[0]
    if isinstance(indices, pd.Series | pd.Index | pd.Categorical | pd.api.extensions.ExtensionArray):
        if pd.isna(indices).any():
            raise InputError(f"{option} holds missing values: fill or drop them")
        # categories and nullable types as the plain values that they hold
        indices = np.asarray(indices)
        indices = np.asarray(indices.tolist()) if indices.dtype == object else indices
    try:
        values = np.asarray(indices)
    except ValueError:
        raise InputError(f"{option} is a ragged list: give positions, a mask or names") from None
    if values.ndim != 1:
        raise InputError(f"{option} has shape {values.shape}: give one dimension, for example indices.ravel()")
    if values.dtype == object and len(values):
        kinds = {type(v) for v in values}
        if all(issubclass(k, bool | np.bool_) for k in kinds):
            return values.astype(bool)
        if all(issubclass(k, int | np.integer) and not issubclass(k, bool) for k in kinds):
            return values.astype(np.int64)
        if not all(issubclass(k, str) for k in kinds):
            raise InputError(f"{option} mixes {', '.join(sorted(k.__name__ for k in kinds))}: give one kind")
    if values.dtype.kind in "iu" and isinstance(indices, list | tuple) and any(isinstance(v, bool) for v in indices):
        raise InputError(f"{option} mixes bool and int: give one kind")
    if not len(values) or values.dtype.kind in "biuUO":
        return values
    hint = ": convert them with .astype(int)" if values.dtype.kind == "f" else ""
    raise InputError(f"{option} must be whole numbers, a mask or names of cells, not {values.dtype}{hint}")


def _by_name(names: np.ndarray, obs_names: pd.Index, option: str) -> np.ndarray:
    text = pd.Index(np.asarray(obs_names).astype(str))
    wanted = pd.Index(names.astype(str))
    unknown = wanted[~wanted.isin(text)]
    if len(unknown):
        raise InputError(
            f"{option} names {len(unknown)} cells that are not there, first {unknown[0]!r}{_near(unknown[0], text)}"
        )
    if not text.is_unique:
        twice = wanted[wanted.isin(text[text.duplicated()])]
        if len(twice):
            raise InputError(f"{option} names cell {twice[0]!r}, which is there more than once: give positions")
        text = text.where(~text.duplicated(), None)
    return text.get_indexer(wanted).astype(np.int64)


def _near(name: str, known: pd.Index) -> str:
    # a search among a million names takes minutes
    return nearest(name, known[:5000]) if len(known) <= 5000 else ""
