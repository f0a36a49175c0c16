"""Genes of a file as the model knows them: found by name, never by position."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from samplers.errors import InputError

#: Share of the model's genes that a query may lack; they are filled with zeros, under a warning.
MOST_MISSING = 0.2

_VERSION = re.compile(r"\.\d+$")
#: Spellings under which names are tried where they do not match as they are.
SPELLINGS: dict[str, Callable[[str], str]] = {
    "without version suffixes such as .12": lambda name: _VERSION.sub("", name),
    "in capitals": str.upper,
    "without version suffixes and in capitals": lambda name: _VERSION.sub("", name).upper(),
}


class MissingGenesWarning(UserWarning):
    """Cells lack some of the model's genes; zeros stand for them."""


def genes(
    var_names: Iterable[str], wanted: Iterable[str], *, var: pd.DataFrame | None = None, most_missing: float = 0.0
) -> np.ndarray:
    """Return the column of each of the model's genes in the data, -1 for one that is not there.

    Parameters
    ----------
    var_names
        Genes of the data, in any order and with any others between them.
    wanted
        Genes of the model, in its order.
    var
        Table of the data's genes; its columns are looked through for the names that are missing.
    most_missing
        Share of the model's genes that may be missing.

    Returns
    -------
    `(n_wanted,)` int64.

    Raises
    ------
    InputError
        For more missing genes than that, and for a gene of the model that the data hold twice.
    """
    here, asked = as_text(var_names), as_text(wanted)
    if len(here) == len(asked) and (here == asked).all():
        return np.arange(len(asked))
    if not here.is_unique:
        twice = asked[asked.isin(here[here.duplicated()])]
        if len(twice):
            raise InputError(
                f"var_names (genes) are not unique: {_some(twice)} appear more than once; run adata.var_names_make_unique()"
            )
        # of genes that nobody asks for any one will do
        columns = (
            pd.Series(np.arange(len(here)), index=here)[~here.duplicated()].reindex(asked, fill_value=-1).to_numpy()
        )
    else:
        columns = here.get_indexer(asked)
    missing = asked[columns < 0]
    if len(missing) > most_missing * len(asked):
        allowed = f"; up to {most_missing:.0%} may be missing" if most_missing else ""
        raise InputError(
            f"{len(missing)} of the model's {len(asked)} genes ({len(missing) / len(asked):.0%}) are missing: "
            f"{_some(missing, 5)}{hint(here, missing, var) or _no_hint(here, missing, asked)}{allowed}"
        )
    return columns.astype(np.int64)


def _no_hint(here: pd.Index, missing: pd.Index, wanted: pd.Index) -> str:
    if len(missing) == len(wanted) and len(here):
        return f"; these data name their genes {_some(here, 3)}: rename adata.var_names"
    return "; add them to the file, or train on the shared genes"


def missing_message(missing: pd.Index, n_wanted: int, found_hint: str) -> str:
    """Return the warning for genes that are filled with zeros.

    Parameters
    ----------
    missing
        Genes that are filled.
    n_wanted
        Genes of the model.
    found_hint
        What `hint` says.
    """
    return (
        f"{len(missing)} of the model's {n_wanted} genes ({len(missing) / n_wanted:.1%}) are not in these data and count as "
        f"0: {_some(missing, 5)}{found_hint}; a zero reads as 'not expressed', which moves cells that express these genes"
    )


def hint(here: pd.Index, missing: pd.Index, var: pd.DataFrame | None = None) -> str:
    """Return how missing genes could be found: under another spelling, or in a column of `var`; "" where they cannot.

    Parameters
    ----------
    here
        Genes of the data.
    missing
        Genes that were not found.
    var
        Table of the data's genes.
    """
    best, words = 0, ""
    sources = {"var_names": here}
    spellings: dict[str, Callable[[str], str]] = {"": str, **SPELLINGS}
    if var is not None:
        text = [c for c in var if not pd.api.types.is_numeric_dtype(var[c].dtype)]
        sources |= {str(c): as_text(var[c].astype(object).fillna("")) for c in text}
    for source, names in sources.items():
        for spelling, change in spellings.items():
            if source == "var_names" and not spelling:
                continue
            there = set(map(change, names))
            found = sum(change(name) in there for name in missing)
            if found > best:
                place = "" if source == "var_names" else f" in adata.var[{source!r}]"
                best, words = found, f"; {found} of them match{place}{f' {spelling}' if spelling else ''}"
                if source != "var_names" and not spelling:
                    words += f": set adata.var_names = adata.var[{source!r}]"
                else:
                    words += ": rename adata.var_names"
    return words


def as_text(names: Iterable[str]) -> pd.Index:
    """Return names as a plain index of text: a file may hold integers, bytes or categories."""
    index = pd.Index(names)
    if index.dtype == object and pd.api.types.infer_dtype(index, skipna=False) == "string":
        return index
    return pd.Index([n.decode() if isinstance(n, bytes) else str(n) for n in index], dtype=object)


def _some(items: Sequence[str], most: int = 3) -> str:
    return ", ".join(map(repr, items[:most])) + (", ..." if len(items) > most else "")
