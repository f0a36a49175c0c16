"""Co-expression networks: the paper's, over all cells; within one cell type; and over cells that were measured jointly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from qbmvae.cellsim.communication import by_condition
from qbmvae.cellsim.expression import counts_of, log_normalised, scaled
from samplers.errors import InputError, require

if TYPE_CHECKING:
    import networkx as nx
    from anndata import AnnData

METHODS = ("pearson", "spearman")


def correlations(
    adata: AnnData,
    method: str = "pearson",
    *,
    cells: str = "all",
    condition: str | None = None,
    cell_type_key: str = "cell_type",
    layer: str | None = None,
) -> pd.DataFrame:
    """Return gene-gene correlations of counts normalised to 10,000, logged and scaled.

    Parameters
    ----------
    adata
        Counts in `.X` or a layer.
    method
        "pearson" or "spearman".
    cells
        "all" (the paper's choice: cell types together, so that a difference between types looks like co-expression), the
        name of one cell type, or "joint": one row a shot, the genes of every type from that type's cell of the shot
        (`.obs["shot"]`), which is where gates across types show.
    condition
        A value of `.obs["condition"]`; needed where there are several.
    cell_type_key
        Column of `.obs` with the cell types.
    layer
        Layer with the counts; `.X` by default.

    Returns
    -------
    DataFrame
        Genes that vary, square, correlations.

    Raises
    ------
    InputError
        For an unknown method or type, or where several conditions are held and none is named.
    """
    require(method, METHODS, "unknown method")
    parts = by_condition(adata, condition, "condition")
    if len(parts) > 1:
        raise InputError(f"the data hold several conditions: name one of {[name for name, _ in parts]}")
    part = parts[0][1]
    values = pd.DataFrame(
        scaled(log_normalised(counts_of(part, layer)).toarray()), index=part.obs_names, columns=part.var_names
    )
    if cells == "joint":
        values = _joint(values, part, cell_type_key)
    elif cells != "all":
        types = part.obs[cell_type_key].astype(str)
        require(cells, set(types), "no cell is of type", {*types, "all", "joint"})
        values = values[(types == cells).to_numpy()]
    values = values.loc[:, values.std() > 0]
    return values.corr(method=method)


def coexpression_network(correlation: pd.DataFrame, threshold: float = 0.5) -> nx.Graph:
    """Return the graph of gene pairs with |r| above the threshold (edge attribute "weight"); lone genes are left out."""
    import networkx as nx

    graph = nx.Graph()
    values, genes = correlation.to_numpy(), list(correlation.columns)
    for i, j in zip(*np.nonzero(np.triu(np.abs(values) > threshold, k=1)), strict=True):
        graph.add_edge(genes[i], genes[j], weight=float(values[i, j]))
    return graph


def _joint(values: pd.DataFrame, adata: AnnData, cell_type_key: str) -> pd.DataFrame:
    if "shot" not in adata.obs:
        raise InputError("obs has no column 'shot': only simulated cells were measured jointly")
    truth = adata.uns.get("truth", {}).get("qubits")
    if truth is None:
        raise InputError("uns has no truth: only simulated cells were measured jointly")
    types, parts = adata.obs[cell_type_key].astype(str).to_numpy(), []
    for name in dict.fromkeys(types):
        rows = np.flatnonzero(types == name)
        rows = rows[np.argsort(adata.obs["shot"].to_numpy()[rows])]
        own = truth[truth["cell_type"].astype(str) == name]
        parts.append(values.iloc[rows][own["gene"].astype(str)].set_axis(own.index.astype(str), axis=1))
        parts[-1].index = np.sort(adata.obs["shot"].to_numpy()[rows])
    return pd.concat(parts, axis=1, join="inner")
