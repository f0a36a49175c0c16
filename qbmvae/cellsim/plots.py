"""Figures: outcome histograms, co-expression networks, UMAPs. Each returns a matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import networkx as nx
    from anndata import AnnData
    from matplotlib.figure import Figure

#: Colours of categories that stay apart for most colour-blind readers (Okabe and Ito).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def outcome_histogram(bits: np.ndarray, probabilities: np.ndarray | None = None, genes: Sequence[str] = ()) -> Figure:
    """Return a histogram of joint outcomes, `(n_cells, n_genes)` bits, with the exact probabilities as dots.

    Outcomes are written gene 0 first; at most the 32 most frequent are shown.

    Parameters
    ----------
    bits
        `(n_cells, n_genes)`.
    probabilities
        Of each outcome, `(2**n_genes,)`; no dots by default.
    genes
        Their names, for the axis.
    """
    n_cells, n = bits.shape
    outcomes = (bits.astype(np.int64) << np.arange(n - 1, -1, -1)).sum(axis=1)
    seen, counts = np.unique(outcomes, return_counts=True)
    shown = np.argsort(-counts, kind="stable")[:32]
    figure, axes = _figure(9, 3.4)
    places = np.arange(len(shown))
    axes.bar(places, counts[shown] / n_cells, color=PALETTE[0], label=f"measured ({n_cells:,} cells)")
    if probabilities is not None:
        axes.plot(places, probabilities[seen[shown]], "o", color=PALETTE[1], ms=4, label="exact")
    axes.set_xticks(places, [f"{v:0{n}b}" for v in seen[shown]], rotation=90, fontsize=7)
    axes.set_xlabel("outcome" + (f" ({' '.join(genes)})" if len(genes) else ""))
    axes.set_ylabel("probability")
    axes.legend(frameon=False)
    return figure


def draw_networks(graphs: Mapping[str, nx.Graph]) -> Figure:
    """Return co-expression graphs side by side: red edges positive, blue ones negative, width by |r|."""
    import networkx as nx

    figure, axes = _figure(3.1 * len(graphs), 3.2, columns=len(graphs))
    for axis, (title, graph) in zip(np.atleast_1d(axes), graphs.items(), strict=True):
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
        if not graph.number_of_nodes():
            axis.text(0.5, 0.5, "no edge", ha="center", va="center", transform=axis.transAxes, color="gray")
            continue
        place = nx.circular_layout(sorted(graph.nodes))
        weights = [graph.edges[e]["weight"] for e in graph.edges]
        colours = [PALETTE[1] if w > 0 else PALETTE[0] for w in weights]
        nx.draw_networkx_edges(graph, place, ax=axis, edge_color=colours, width=[3 * abs(w) for w in weights])
        nx.draw_networkx_nodes(graph, place, ax=axis, node_color="#EEEEEE", edgecolors="#444444", node_size=520)
        nx.draw_networkx_labels(graph, place, ax=axis, font_size=8)
        axis.margins(0.25)
    return figure


def draw_umap(adata: AnnData, colours: Sequence[str] = ("cell_type", "condition")) -> Figure:
    """Return the UMAP (`.obsm["X_umap"]`) once for each column of `.obs`."""
    figure, axes = _figure(4.2 * len(colours), 3.8, columns=len(colours))
    points = adata.obsm["X_umap"]
    order = np.random.default_rng(0).permutation(len(points))
    for axis, key in zip(np.atleast_1d(axes), colours, strict=True):
        labels = adata.obs[key].astype("category")
        shades = np.array([PALETTE[c % len(PALETTE)] for c in labels.cat.codes])
        axis.scatter(*points[order].T, c=shades[order], s=3, linewidths=0, rasterized=True)
        for code, name in enumerate(labels.cat.categories):
            axis.plot([], [], "o", color=PALETTE[code % len(PALETTE)], label=str(name))
        axis.legend(frameon=False, fontsize=8, loc="best")
        axis.set_title(key, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.set_xlabel("UMAP 1")
        axis.set_ylabel("UMAP 2")
    return figure


def _figure(width: float, height: float, columns: int = 1):
    # without pyplot: no state is left behind and no display is needed
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, columns)
