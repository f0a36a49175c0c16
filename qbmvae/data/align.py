"""Other data, as the model knows it: the same genes in the same order, known categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from samplers.errors import InputError


def genes(var_names: pd.Index, wanted: Sequence[str]) -> np.ndarray | None:
    """Return the columns of the model's genes, or None where the data hold exactly these.

    Parameters
    ----------
    var_names
        Genes of the data.
    wanted
        Genes of the model, in its order.

    Raises
    ------
    InputError
        For missing genes, or genes in another order than the model's; further genes between them do no harm.
    """
    wanted = pd.Index(wanted)
    if len(var_names) == len(wanted) and (var_names == wanted).all():
        return None
    columns = var_names.get_indexer(wanted)
    missing = wanted[columns < 0]
    if len(missing):
        shown = ", ".join(map(repr, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise InputError(
            f"{len(missing)} of the model's {len(wanted)} genes are missing: {shown}; add them (0 where they were not "
            "measured) or train on the shared genes"
        )
    behind = np.flatnonzero(np.diff(columns) < 0)
    if len(behind):
        i = int(behind[0])
        raise InputError(
            f"the genes are in another order than in training ({wanted[i + 1]!r} stands before {wanted[i]!r}): reorder them "
            "with adata[:, model.get_var_names()].copy()"
        )
    return columns


def categories(values: pd.Series, known: Sequence[Any], key: str) -> None:
    """Raise `InputError` for categories that the model was not trained on."""
    new = [v for v in values.astype(str).unique() if v not in {str(k) for k in known}]
    if new:
        shown = ", ".join(map(repr, new[:5]))
        raise InputError(
            f"obs column {key!r} holds categories that the model has not seen: {shown}; it knows "
            f"{', '.join(repr(str(k)) for k in list(known)[:10])}: map them to these, or use QBMVAE.load_query_data"
        )
