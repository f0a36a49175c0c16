"""Labels that become units of the machine: is this column usable, and which label has each cell?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from qbmvae.data.categories import text_of
from samplers.errors import InputError, nearest


def keys_of(labels_key: str | Sequence[str] | None) -> list[str]:
    """Return the columns that `labels_key` names: none, one, or several."""
    return [] if labels_key is None else [labels_key] if isinstance(labels_key, str) else list(labels_key)


def plain(labels_key: str | Sequence[str] | None) -> str | list[str] | None:
    """Return `labels_key` as registrations hold it: text for one column, a list for several."""
    keys = keys_of(labels_key)
    return keys if len(keys) > 1 else keys[0] if keys else None


def check(obs: pd.DataFrame, labels_key: Any, unlabelled: str | None, batch_key: str | None) -> None:
    """Refuse columns that cannot be label units, naming what is wrong; a label of one cell is noted.

    Parameters
    ----------
    obs
        The cells' table; the columns are in it.
    labels_key
        Column with labels, or several.
    batch_key
        Column with batches.
    unlabelled
        Category of cells without a label; None where labels are not used, and nothing is checked.

    Raises
    ------
    InputError
        For a missing key, numbers, missing values, a category that is not there, or fewer than two labels.
    """
    if unlabelled is None:
        return
    if not keys_of(labels_key):
        raise InputError(
            f"unlabeled_category={unlabelled!r} says which cells of a column have no label: give labels_key="
        )
    for key in keys_of(labels_key):
        _check(obs, key, unlabelled, batch_key)


def _check(obs: pd.DataFrame, labels_key: str, unlabelled: str, batch_key: str | None) -> None:
    if labels_key == batch_key:
        raise InputError(
            f"labels_key and batch_key are the same column {labels_key!r}: a batch is no label, its differences are removed"
        )
    values = obs[labels_key]
    if pd.api.types.is_numeric_dtype(values.dtype):
        raise InputError(
            f"labels_key: obs column {labels_key!r} holds numbers ({values.dtype}), not names; for cluster numbers run "
            f"adata.obs[{labels_key!r}] = adata.obs[{labels_key!r}].astype(str)"
        )
    missing = np.flatnonzero(values.isna().to_numpy())
    if len(missing):
        shown = ", ".join(map(str, obs.index[missing[:3]])) + (", ..." if len(missing) > 3 else "")
        raise InputError(
            f"labels_key: obs column {labels_key!r} is missing for {len(missing)} cells (first: {shown}); write "
            f"{unlabelled!r} there"
        )
    counts = values.map(text_of).astype(str).value_counts()
    categories = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else []
    if unlabelled not in counts.index and unlabelled not in map(text_of, categories):
        raise InputError(
            f"unlabeled_category: obs column {labels_key!r} has no category {unlabelled!r}"
            f"{nearest(unlabelled, list(map(str, counts.index)))}; if every cell has a label, add the category: "
            f"adata.obs[{labels_key!r}].astype('category').cat.add_categories({unlabelled!r})"
        )
    known = counts.drop(unlabelled, errors="ignore")
    known = known[known > 0]
    if not len(known):
        raise InputError(f"no cell has a label: every value of obs column {labels_key!r} is {unlabelled!r}")
    if len(known) == 1:
        raise InputError(f"obs column {labels_key!r} holds one label, {known.index[0]!r}: two or more are told apart")
    if len(single := known.index[known == 1]):
        shown = ", ".join(map(repr, single[:5])) + (", ..." if len(single) > 5 else "")
        warnings.warn(
            f"labels with a single cell in obs column {labels_key!r}: {shown}; all that is known of them rests on it",
            stacklevel=5,
        )


def known_or_none(
    obs: pd.DataFrame, key: str, known: Any, unlabelled: str, warn: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return codes of cells that a model meets, and the categories it knows; new or missing labels count as none.

    Parameters
    ----------
    obs
        The cells' table; the column may be missing.
    key
        The column.
    known
        The model's categories, the one of cells without a label among them.
    unlabelled
        That category.
    warn
        Whether to name labels that are new.
    """
    place = {text_of(name): code for code, name in enumerate(known)}
    none = place[unlabelled]
    if key not in obs:
        return np.full(len(obs), none, dtype=np.int64), np.asarray(known)
    text = obs[key].map(text_of, na_action="ignore").astype(object)
    new = sorted(set(text.dropna()) - set(place))
    if new and warn:
        shown = ", ".join(map(repr, new[:5])) + (", ..." if len(new) > 5 else "")
        warnings.warn(
            f"obs column {key!r} holds labels that the model does not know ({shown}): these cells count as unlabelled, and "
            "predictions are among the labels that it knows",
            stacklevel=4,
        )
    return np.asarray([place.get(value, none) for value in text], dtype=np.int64), np.asarray(known)
