"""Batches, covariates and labels as integer codes: categories are compared as what they are, whatever their type."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from samplers.errors import InputError, nearest

#: A whole number that was written as a float.
_WHOLE = re.compile(r"-?\d+\.0+")
#: What a missing label is called: labels that the model does not use may be missing.
UNLABELLED = "(missing)"


def text_of(value: Any) -> str:
    """Return a category as text: 1, 1.0, "1" and "1.0" are one category, and so are True and "True"."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, str):
        return value.partition(".")[0] if _WHOLE.fullmatch(value) else value
    if isinstance(value, np.datetime64 | datetime.date):
        # as pandas prints a column of days
        return str(pd.Timestamp(value)).removesuffix(" 00:00:00")
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def as_text(values: pd.Series) -> pd.Series:
    """Return a column as text, see `text_of`, which is asked once for each distinct value."""
    codes, levels = pd.factorize(values, use_na_sentinel=False)
    return pd.Series(np.asarray([text_of(level) for level in levels], dtype=object)[codes], index=values.index)


def learn(values: pd.Series, key: str, missing: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return each cell's code and the categories of a column that a model is made with.

    Parameters
    ----------
    values
        The column, `(n_cells,)`.
    key
        Its name, for messages.
    missing
        Category of missing values; None refuses them.

    Returns
    -------
    codes
        `(n_cells,)` int64.
    categories
        Those that occur, in their own order (of the alphabet or of the numbers where they have none).

    Raises
    ------
    InputError
        For missing values, or two categories that read the same, such as 1 and "1".
    """
    codes, levels = _factorised(values, key, missing)
    text = [text_of(level) for level in levels]
    if len(set(text)) < len(text):
        twice = next(t for t in text if text.count(t) > 1)
        raise InputError(f"obs column {key!r} holds {twice!r} in two spellings, such as 1 and '1': make it one type")
    if isinstance(values.dtype, pd.CategoricalDtype):
        place = {text_of(c): i for i, c in enumerate(values.cat.categories)}
        order = np.argsort([place.get(t, len(place)) for t in text], kind="stable")
    else:
        try:
            order = np.argsort(levels, kind="stable")
        except TypeError:
            # numbers and text in one column
            levels, order = np.asarray(text, dtype=object), np.argsort(text, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[codes] if len(codes) else codes, levels[order]


def match(
    values: pd.Series, known: Sequence[Any], key: str, *, extend: bool = False, missing: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return each cell's code among the categories that a model knows.

    Parameters
    ----------
    values
        The column, `(n_cells,)`.
    known
        Categories of the model, in its order.
    key
        Name of the column, for messages.
    extend
        Whether new categories are added behind the known ones; refused otherwise.
    missing
        Category of missing values; None refuses them.

    Returns
    -------
    codes
        `(n_cells,)` int64.
    categories
        The known ones, and the new ones where `extend` is set.

    Raises
    ------
    InputError
        For missing values and unknown categories, with the nearest known ones.
    """
    codes, levels = _factorised(values, key, missing)
    table = {text_of(k): i for i, k in enumerate(known)}
    new = [level for level in levels if text_of(level) not in table]
    if new and not extend:
        shown = ", ".join(map(repr, map(text_of, new[:5]))) + (", ..." if len(new) > 5 else "")
        near = next((f"; did you mean {k!r}?" for k in table if _folded(k) == _folded(text_of(new[0]))), "")
        if not near:
            near = nearest(text_of(new[0]), table)
            near = near if near.startswith("; nearest") else ""
        raise InputError(
            f"obs column {key!r} holds categories that the model has not seen: {shown}{near}; it knows "
            f"{', '.join(repr(k) for k in list(table)[:10])}: map them to these, or use QBMVAE.load_query_data (`qbmvae map`)"
        )
    categories = np.asarray(known)
    if new:
        new = sorted(new, key=text_of)
        table |= {text_of(level): len(table) + i for i, level in enumerate(new)}
        categories = _joined(categories, new)
    lookup = np.asarray([table[text_of(level)] for level in levels], dtype=np.int64)
    return lookup[codes] if len(codes) else codes, categories


def _joined(known: np.ndarray, new: list[Any]) -> np.ndarray:
    """Return the categories in one array; as text where their types differ."""
    kinds = {"number" if isinstance(v, int | float | np.number) else type(v).__name__ for v in [*known.tolist(), *new]}
    if len(kinds) <= 1:
        return np.asarray([*known.tolist(), *new], dtype=object if known.dtype == object else None)
    return np.asarray([text_of(v) for v in [*known.tolist(), *new]], dtype=object)


def _factorised(values: pd.Series, key: str, missing: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and the distinct values that occur, in order of appearance."""
    codes, levels = pd.factorize(values, use_na_sentinel=True)
    plain = all(isinstance(v, str | bool | int | float | np.bool_ | np.number) for v in levels)
    # days, tuples and other objects are known by what they read as
    levels = np.asarray(levels) if plain else np.asarray([text_of(v) for v in levels], dtype=object)
    gone = np.flatnonzero(codes < 0)
    if len(gone):
        if missing is None:
            names = ", ".join(map(str, values.index[gone[:3]])) + (", ..." if len(gone) > 3 else "")
            raise InputError(
                f"obs column {key!r} is missing for {len(gone)} cells (first: {names}); drop them or fill the column"
            )
        levels = np.asarray([*map(text_of, levels.tolist()), missing], dtype=object)
        same = np.flatnonzero(levels[:-1] == missing)
        codes = np.where(codes < 0, same[0] if len(same) else len(levels) - 1, codes)
        levels = levels[:-1] if len(same) else levels
    return codes.astype(np.int64), levels


def _folded(text: str) -> str:
    return "".join(ch for ch in text.casefold() if ch.isalnum())
