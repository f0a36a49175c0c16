"""Ligand-receptor pairs from CellChatDB's interaction table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from samplers.errors import require

if TYPE_CHECKING:
    from anndata import AnnData

COLUMNS = ("ligand.symbol", "receptor.symbol")


def cellchatdb_pairs(
    path: str | os.PathLike[str],
    adata: AnnData,
    *,
    senders: Sequence[str] | None = None,
    receivers: Sequence[str] | None = None,
    cell_type_key: str = "cell_type",
) -> list[tuple[list[str], list[str], str, str]]:
    """Return the pairs of CellChatDB whose genes are all in the data, between all senders and receivers.

    Parameters
    ----------
    path
        CellChatDB's `interaction_input` table, CSV (gzip allowed), with "ligand.symbol" and "receptor.symbol"; the
        symbols of a complex are separated by commas.
    adata
        The data that `communication` will see.
    senders, receivers
        Cell types; all by default.
    cell_type_key
        Column of `.obs` with the cell types.

    Raises
    ------
    InputError
        Where the table or `.obs` lacks a column.
    """
    require(cell_type_key, adata.obs, "obs has no column", adata.obs.columns)
    table = pd.read_csv(path)
    for column in COLUMNS:
        require(column, table, f"{path} has no column", table.columns)
    known = set(adata.var_names)
    sides = [[_symbols(v) for v in table[column]] for column in COLUMNS]
    present = [(a, b) for a, b in zip(*sides, strict=True) if a and b and known.issuperset(a) and known.issuperset(b)]
    # the same genes come under several names of an interaction
    unique = list({(tuple(a), tuple(b)): None for a, b in present})
    types = sorted(adata.obs[cell_type_key].dropna().astype(str).unique())
    return [
        (list(ligand), list(receptor), sender, receiver)
        for ligand, receptor in unique
        for sender in (types if senders is None else senders)
        for receiver in (types if receivers is None else receivers)
    ]


def _symbols(value: object) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else []
