"""Figures of what bits mean: genes that they move, couplings between them, where they are on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.report.page import figure as shown_figure
from experiments.report.plots import new_figure, plane, png
from experiments.report.tables import table as shown_table
from samplers.errors import InputError

#: Bits and genes of a heat-map, and bits drawn over the cells, at most.
BITS, GENES, PANELS = 24, 40, 12
MEANINGS = {
    "activity": "share of cells in which the bit is on",
    "spread": "standard deviation of its probability over cells: 0 says nothing, .5 most",
    "effect": "root mean square over genes of the change of log expression when the bit turns on",
    "genes up": "the genes that rise most when it turns on",
    "genes down": "the genes that fall most",
    "label": "the type of cell that it distinguishes best",
    "log odds": "of the bit being on in that type against all others; negative: off in that type",
    "partners": "bits to which it is coupled, with the coupling; positive: on together",
}


def bits_section(model: Any, cells: Any, labels: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the section of a report that says what the bits of a model mean; none for a continuous prior.

    Parameters
    ----------
    model
        A trained `QBMVAE`.
    cells
        Cells to show, an AnnData.
    labels
        Their types, `(n_cells,)`.
    """
    from qbmvae.core.priors.boltzmann import BoltzmannPrior
    from qbmvae.model import bits

    prior = model.module.vae.prior
    if not prior.discrete:
        return []
    effects = model.bit_effects(n_cells=200)
    q = np.asarray(model.get_latent_representation(cells, representation="probabilities"))
    graph = model.coupling_graph() if isinstance(prior, BoltzmannPrior) else None
    found = bits.table(effects, q, graph, bits.log_odds(q, labels), {})
    pictures = [
        *shown_figure(png(effect_heatmap(effects)), "bits with the largest effects, and the genes that they move most"),
        *shown_figure(png(bits_over_cells(plane(q), q, found)), "where bits are on: UMAP of the bits' probabilities"),
    ]
    if graph is not None:
        pictures += shown_figure(
            png(coupling_figure(graph)),
            "couplings beyond three standard errors: orange ones turn two bits on together, blue ones keep them apart; larger bits are on in more cells",
        )
    first = found.sort_values("effect", ascending=False).head(PANELS).drop(columns="name")
    first = first.rename(columns={"label_log_odds": "log odds", "up": "genes up", "down": "genes down"})
    text = f"The {len(first)} bits with the largest effects, and the type of cell that each of them distinguishes best."
    made = shown_table(first, explain=MEANINGS)
    return [{"title": "What the bits mean", "texts": [text], "figures": pictures, "tables": [made]}]


def effect_heatmap(effects: pd.DataFrame, n_bits: int = BITS, n_genes: int = GENES) -> Any:
    """Return a matplotlib figure of the bits with the largest effects and the genes that they move most.

    Parameters
    ----------
    effects
        Of `QBMVAE.bit_effects`, bits by genes.
    n_bits, n_genes
        How many of each.
    """
    size = np.sqrt((effects**2).mean(axis=1))
    shown = effects.loc[size.nlargest(n_bits).index]
    shown = shown[shown.abs().max().nlargest(n_genes).index]
    # alike bits next to each other, and alike genes
    shown = shown.iloc[_order(shown.to_numpy())].iloc[:, _order(shown.to_numpy().T)]
    figure, axes = new_figure(0.22 * shown.shape[1] + 2, 0.22 * shown.shape[0] + 1.2)
    limit = float(np.abs(shown.to_numpy()).max()) or 1.0
    picture = axes[0, 0].imshow(shown.to_numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axes[0, 0].set_xticks(range(shown.shape[1]), shown.columns, rotation=90, fontsize=6)
    axes[0, 0].set_yticks(range(shown.shape[0]), [f"bit {b}" for b in shown.index], fontsize=6)
    figure.colorbar(picture, ax=axes[0, 0], label="change of log expression when the bit turns on")
    return figure


def coupling_figure(graph: Any, seed: int = 0) -> Any:
    """Return a matplotlib figure of `QBMVAE.coupling_graph`: orange couplings attract, blue ones repel; size is activity."""
    import networkx as nx

    coupled = graph.subgraph([node for node in graph if graph.degree(node)])
    figure, axes = new_figure(7, 6)
    axis = axes[0, 0]
    axis.set_axis_off()
    if not len(coupled):
        axis.set_title("no coupling exceeds its error")
        return figure
    # closeness by strength: the layout takes weights of one sign
    strength = nx.Graph((a, b, {"weight": abs(e["weight"])}) for a, b, e in coupled.edges(data=True))
    place = nx.spring_layout(strength, seed=seed)
    for a, b, edge in coupled.edges(data=True):
        (x1, y1), (x2, y2) = place[a], place[b]
        colour = "#D55E00" if edge["weight"] > 0 else "#0072B2"
        axis.plot([x1, x2], [y1, y2], color=colour, linewidth=1 + 2 * abs(edge["weight"]), alpha=0.6, zorder=1)
    x, y = np.array([place[node] for node in coupled]).T
    axis.scatter(
        x,
        y,
        s=[60 + 500 * coupled.nodes[node]["activity"] for node in coupled],
        color="#EEEEEE",
        edgecolor="k",
        zorder=2,
    )
    for node in coupled:
        name = str(coupled.nodes[node]["name"]).removeprefix("bit ")
        axis.annotate(name, place[node], ha="center", va="center", fontsize=7, zorder=3)
    return figure


def bits_over_cells(plane: np.ndarray, q: np.ndarray, table: pd.DataFrame, n_bits: int = PANELS) -> Any:
    """Return a matplotlib figure of cells in two dimensions, a panel a bit, coloured by the bit's probability.

    Parameters
    ----------
    plane
        Coordinates, `(n_cells, 2)`, see `experiments.report.plots.plane`.
    q
        Bit probabilities, `(n_cells, n_latent)`.
    table
        Of `QBMVAE.bit_table`: bits with the largest spread are shown, with the genes that rise.
    n_bits
        How many.

    Raises
    ------
    InputError
        Where coordinates and probabilities are of different cells.
    """
    if len(plane) != len(q):
        raise InputError(f"there are {len(plane)} coordinates, but probabilities of {len(q)} cells")
    bits = table["spread"].nlargest(min(n_bits, len(table))).index
    columns = min(4, len(bits))
    rows = -(-len(bits) // columns)
    figure, axes = new_figure(3.2 * columns, 2.9 * rows, nrows=rows, ncols=columns)
    for axis, bit in zip(axes.flat, bits, strict=False):
        picture = axis.scatter(
            *plane.T, c=q[:, bit], s=float(np.clip(6000 / len(q), 1, 12)), cmap="viridis", vmin=0, vmax=1, linewidth=0
        )
        axis.set_title(f"bit {bit}: {', '.join(str(table.loc[bit, 'up']).split(', ')[:3])}", fontsize=8)
    for axis in axes.flat:
        axis.set_axis_off()
    figure.colorbar(picture, ax=axes, label="probability that the bit is on", shrink=0.6)
    return figure


def _order(rows: np.ndarray) -> np.ndarray:
    """Return an order of rows in which alike ones are next to each other."""
    from scipy.cluster.hierarchy import leaves_list, linkage

    return leaves_list(linkage(rows, "average", optimal_ordering=True)) if len(rows) > 2 else np.arange(len(rows))
