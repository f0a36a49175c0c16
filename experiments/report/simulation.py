"""The report of `qbmvae simulate`: what was programmed, and what the counts show of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.report import plots
from experiments.report.explorer import explorer, some_cells, variable_genes
from experiments.report.page import figure, page
from experiments.report.tables import table

if TYPE_CHECKING:
    from anndata import AnnData


#: Columns of the edges' table that are shown.
EDGES = ("condition", "order", "control", "control_type", "target", "target_type", "gate")


def simulation_report(adata: AnnData, path: Path) -> str:
    """Return the page of a simulation.

    Parameters
    ----------
    adata
        What `qbmvae.cellsim.simulate` returned.
    path
        Its file, named in the page's head.
    """
    from qbmvae.cellsim.networks import coexpression_network, correlations
    from qbmvae.cellsim.plots import draw_networks, outcome_histogram

    truth = adata.uns["truth"]
    rows = some_cells(adata.n_obs)
    part = adata[rows]
    views = explorer(
        {"log-normalised counts": plots.plane(_components(part), seed=0)},
        part.obs,
        variable_genes(part),
        [c for c in ("cell_type", "condition") if c in part.obs and part.obs[c].nunique() > 1],
        f"UMAP of {len(rows):,} cells",
    )
    conditions = list(truth["joint_bits"])
    edges = pd.DataFrame(truth["edges"])
    edges = edges[[c for c in EDGES if c in edges]].reset_index(drop=True)
    edges.columns = [c.replace("control_type", "of cells").replace("target_type", "in cells") for c in edges]
    bits = {c: np.asarray(truth["joint_bits"][c]) for c in conditions}
    genes = [str(g) for g in adata.var_names[adata.var["kind"] == "regulated"]]
    outcomes = [
        f
        for c, b in bits.items()
        for f in figure(
            plots.png(outcome_histogram(b, None, genes[: b.shape[1]])), f"{c}: joint outcomes of the genes' bits"
        )
    ]
    graphs = {}
    for condition in conditions:
        for cells in ("all", "joint"):
            found = correlations(adata, cells=cells, condition=condition)
            known = [g for g in genes if g in found.index]
            graphs[f"{condition}\n{cells} cells"] = coexpression_network(found.loc[known, known], 0.1)
    networks = figure(
        plots.png(draw_networks(graphs)),
        "pairs of genes with |r| > .1; thicker is stronger, orange positive, blue negative",
    )
    noun = "condition" if len(conditions) == 1 else "conditions"
    types = adata.obs["cell_type"].nunique()
    lead: dict[str, Any] = {
        "texts": [
            f"{adata.n_obs:,} cells of {types} types in {len(conditions)} {noun} were simulated, with {len(genes)} "
            f"regulated and {adata.n_vars - len(genes)} housekeeping genes; every edge is known."
        ],
        "explorer": [views],
    }
    sections = [
        {"title": "What was programmed: edges", "tables": [_plain_table(edges)] if len(edges) else []},
        {"title": "What was programmed: share of cells in which each gene is on", "tables": [_plain_table(pd.DataFrame(truth["marginals"]).rename_axis("gene"))]},
        {"title": "What was drawn", "figures": outcomes},
        {"title": "What correlation finds", "figures": networks,
         "texts": ["Over all cells the difference between types looks like co-expression. Joint: the genes of every type from its "
                   "cell of the same shot, where gates across types show."]},
    ]  # fmt: skip
    return page(f"Simulation {path.name}", f"seed {truth['seed']}; {path}", sections, lead)


def _plain_table(frame: pd.DataFrame) -> dict[str, Any]:
    varying = frame[[c for c in frame if frame[c].notna().any() and not (frame[c].astype(str) == "").all()]]
    index = varying.index
    if pd.api.types.is_integer_dtype(index):
        varying = varying.set_index(pd.Index(index + 1, name="#"))
    return table(varying, best=None)


def _components(adata: AnnData) -> np.ndarray:
    import scipy.sparse as sp
    from sklearn.decomposition import PCA

    counts = sp.csr_matrix(adata.X, dtype=np.float64)
    depth = np.asarray(counts.sum(axis=1)).ravel()
    x = np.log1p((sp.diags_array(np.median(depth) / np.where(depth > 0, depth, 1)) @ counts).toarray())
    deviation = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return PCA(min(10, *x.shape), random_state=0).fit_transform(x)
