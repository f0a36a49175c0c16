"""Embeddings to explore in the report itself: hover, colour by any column or gene, lasso; a picture where it is printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.report import plots
from experiments.report.page import figure

#: A column of more categories than these, such as a barcode, colours nothing.
MAX_CATEGORIES = 60
MAX_COLUMNS = 30
#: Cells of a plane: more take seconds to draw.
MAX_CELLS = 4000


def some_cells(n: int, n_max: int = MAX_CELLS) -> np.ndarray:
    """Return the rows that a plane shows: all, or a seeded choice."""
    return np.arange(n) if n <= n_max else np.sort(np.random.default_rng(0).choice(n, n_max, replace=False))


def explorer(
    planes: Mapping[str, np.ndarray],
    obs: pd.DataFrame,
    genes: pd.DataFrame | None = None,
    first: Sequence[str | None] = (),
    caption: str = "",
) -> dict[str, Any]:
    """Return an explorer for `page`, with a picture of the first columns for print.

    Parameters
    ----------
    planes
        Name of an embedding to its two coordinates, each `(n_cells, 2)`.
    obs
        Annotations, indexed by the cells' names.
    genes
        Expression to colour by, `(n_cells, n_genes)`.
    first
        Columns of `obs` to offer first; they are the picture's rows.
    caption
        What it shows.

    Returns
    -------
    dict
        "json", "figures", "caption".
    """
    wanted = [k for k in dict.fromkeys(first) if k is not None and k in obs]
    columns: dict[str, Any] = {}
    for key in [*wanted, *(c for c in obs if c not in wanted)]:
        described = _described(obs[key])
        if described is not None and len(columns) < MAX_COLUMNS:
            columns[str(key)] = described
    data = {
        "names": list(map(str, obs.index)),
        "planes": {name: np.round(xy, 3).T.tolist() for name, xy in planes.items()},
        "obs": columns,
        "genes": {} if genes is None else {str(g): _numbers(genes[g]) for g in genes},
        "colours": plots.COLOURS,
    }
    pictured = {k: _plain(obs[k]) for k in wanted if str(k) in columns} or {"cells": np.zeros(len(obs))}
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return {"json": text, "figures": figure(plots.scatters(planes, pictured), caption), "caption": caption}


def variable_genes(adata: Any, layer: str | None = None, n_genes: int = 20) -> pd.DataFrame:
    """Return the log-normalised expression of the most variable genes, indexed by cell.

    Parameters
    ----------
    adata
        Counts, `(n_cells, n_genes)`.
    layer
        Where they are; X by default.
    n_genes
        How many, by the variance of log1p of counts per 10,000.
    """
    import scipy.sparse as sp

    counts = sp.csr_matrix(adata.X if layer is None else adata.layers[layer], dtype=np.float64)
    depth = np.asarray(counts.sum(axis=1)).ravel()
    x = sp.csc_matrix(sp.diags_array(1e4 / np.where(depth > 0, depth, 1)) @ counts)
    x.data = np.log1p(x.data)
    variance = np.asarray(x.power(2).mean(axis=0)).ravel() - np.asarray(x.mean(axis=0)).ravel() ** 2
    top = np.argsort(-variance, kind="stable")[:n_genes]
    names = [str(adata.var_names[i]) for i in top]
    return pd.DataFrame(x[:, top].toarray(), index=adata.obs_names.astype(str), columns=names)


def _plain(values: pd.Series) -> np.ndarray:
    if pd.api.types.is_bool_dtype(values) or not pd.api.types.is_numeric_dtype(values):
        return values.astype(object).where(values.notna(), "none").astype(str).to_numpy()
    return values.to_numpy(dtype=float)


def _numbers(values: Any) -> list[float | None]:
    return [None if not np.isfinite(v) else float(f"{v:.4g}") for v in np.asarray(values, dtype=float)]


def _described(values: pd.Series) -> dict[str, Any] | None:
    shown = _plain(values)
    if shown.dtype.kind == "f":
        return {"values": _numbers(shown)} if np.isfinite(shown).any() else None
    names, codes = np.unique(shown, return_inverse=True)
    return {"names": names.tolist(), "codes": codes.tolist()} if len(names) <= MAX_CATEGORIES else None
