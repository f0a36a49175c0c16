"""Figures of the reports in one style; each is returned as a PNG in base64 unless it says otherwise."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.run_folder import write_atomically

# Okabe and Ito's colours, told apart by colour-blind readers, then paler ones
COLOURS = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8C6D31", "#6A51A3", "#636363", "#A1D99B",
    "#FDAE6B", "#9ECAE1", "#BCBDDC", "#FA9FB5", "#BDBDBD", "#C7E9C0", "#7B4173", "#3B6E22", "#B5CF6B", "#843C39",
)  # fmt: skip


def new_figure(width: float, height: float, **options: Any) -> tuple[Any, Any]:
    """Return a figure of a size in inches and its axes, `(n_rows, n_columns)`, in the style of the reports.

    Other arguments are those of `matplotlib.figure.Figure.subplots`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(squeeze=False, **options)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.title.set_size(10)
    return figure, axes


def _set_sizes(figure: Any) -> None:
    """Set the sizes that matplotlib resets whenever a text is set."""
    for axis in figure.axes:
        axis.title.set_size(10)
        axis.xaxis.label.set_size(9)
        axis.yaxis.label.set_size(9)


def save(figure: Any, path: Path) -> Path:
    """Write a figure as a PNG file, atomically."""
    _set_sizes(figure)
    return write_atomically(path, lambda p: figure.savefig(p, dpi=110))


def png(figure: Any) -> str:
    """Return a figure as base64 text."""
    _set_sizes(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def plane(embedding: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return two coordinates a cell by UMAP (15 neighbours), by principal components where there are few cells."""
    if len(embedding) < 30 or np.ptp(embedding, axis=0).max() == 0:
        centred = embedding - embedding.mean(axis=0)
        coordinates = np.linalg.svd(centred, full_matrices=False)[0][:, :2]
        return np.pad(coordinates, ((0, 0), (0, 2 - coordinates.shape[1])))
    import warnings

    import umap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return umap.UMAP(n_neighbors=15, min_dist=0.3, random_state=seed, n_jobs=1).fit_transform(embedding)


def scatters(planes: Mapping[str, np.ndarray], colourings: Mapping[str, Any]) -> str:
    """Return a grid: a row for each way of colouring (types, batches or numbers), a column for each embedding."""
    figure, axes = new_figure(4.1 * len(planes) + 1.6, 3.6 * len(colourings), nrows=len(colourings), ncols=len(planes))
    n = len(next(iter(planes.values())))
    size, order = float(np.clip(8000 / n, 1.5, 14)), np.random.default_rng(0).permutation(n)
    for row, (name, values) in enumerate(colourings.items()):
        numeric = pd.api.types.is_numeric_dtype(np.asarray(values).dtype)
        labels = np.asarray(values, dtype=float if numeric else str)
        names = [] if numeric else list(np.unique(labels))
        for axis, (model, points) in zip(axes[row], planes.items(), strict=True):
            if numeric:
                known = order[np.isfinite(labels[order])]
                axis.scatter(*points.T, s=size, c="#dddddd", linewidths=0)
                axis.scatter(*points[known].T, s=size, c=labels[known], cmap="viridis", linewidths=0)
            else:
                codes = np.searchsorted(names, labels)
                colours = np.array(COLOURS)[codes % len(COLOURS)]
                axis.scatter(*points[order].T, s=size, c=colours[order], linewidths=0)
            axis.set(xticks=[], yticks=[], title=f"{model}, by {name}")
        if 0 < len(names) <= len(COLOURS):
            dots = [axes[row][-1].scatter([], [], s=30, c=c) for c in COLOURS[: len(names)]]
            axes[row][-1].legend(dots, names, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8, frameon=False)
    return png(figure)


def curves(history: pd.DataFrame, panels: Mapping[str, Sequence[str]]) -> str:
    """Return training curves: a panel for each name, a line for each of its columns that the history has."""
    shown = {t: [c for c in cs if c in history and history[c].notna().any()] for t, cs in panels.items()}
    shown = {t: cs for t, cs in shown.items() if cs}
    if not shown:
        return ""
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    figure, axes = new_figure(3.5 * across, 2.8 * down, nrows=down, ncols=across)
    for axis in axes.flat[len(shown) :]:
        axis.axis("off")
    for axis, (title, columns) in zip(axes.flat, shown.items(), strict=False):
        for colour, column in zip(COLOURS, columns, strict=False):
            values = history[column].dropna()
            axis.plot(values.index, values, color=colour, label=column.replace("_", " "), lw=1.6)
        axis.set(title=title, xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        if len(columns) > 1:
            axis.legend(fontsize=7, frameon=False)
    return png(figure)


def lines(series: Mapping[str, Mapping[float, float]], xlabel: str, ylabel: str, title: str = "") -> str:
    """Return one line for each name over a common axis.

    Parameters
    ----------
    series
        Name to points, x to y.
    xlabel, ylabel, title
        Texts.
    """
    figure, axes = new_figure(6.6, 3.8)
    axis = axes[0, 0]
    for i, (name, points) in enumerate(series.items()):
        axis.plot(
            list(points), list(points.values()), marker="o", ms=3.5, lw=1.6, label=name, color=COLOURS[i % len(COLOURS)],
            ls="-" if i < 10 else "--",
        )  # fmt: skip
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axis.legend(fontsize=8, frameon=False, bbox_to_anchor=(1, 1), loc="upper left")
    return png(figure)


def intervals(rows: Sequence[tuple[str, float, float, float]], xlabel: str, title: str = "", zero: bool = True) -> str:
    """Return estimates with their intervals, one a row: (name, estimate, low, high).

    Parameters
    ----------
    rows
        Name, estimate, low, high.
    xlabel, title
        Texts.
    zero
        Whether zero is marked, and rows are coloured by their side of it.
    """
    figure, axes = new_figure(6.6, 0.9 + 0.3 * len(rows))
    axis = axes[0, 0]
    for i, (_, value, low, high) in enumerate(reversed(rows)):
        colour = COLOURS[8] if low <= 0 <= high else COLOURS[0] if low > 0 else COLOURS[3]
        axis.plot([low, high], [i, i], color=colour if zero else COLOURS[0], lw=2)
        axis.plot([value], [i], "o", color=colour if zero else COLOURS[0], ms=5)
    axis.set_ylim(-0.6, len(rows) - 0.4)
    if zero:
        axis.axvline(0, color="#999999", lw=1, ls=":")
    axis.set(yticks=range(len(rows)), yticklabels=[r[0] for r in reversed(rows)], xlabel=xlabel, title=title)
    return png(figure)


def ranks(table: pd.DataFrame, title: str = "") -> str:
    """Return a rank plot: models in rows, data sets in columns, rank 1 the best, mean rank at the right."""
    ranked = table.rank(ascending=False, axis=0)
    ranked = ranked.loc[ranked.mean(axis=1).sort_values().index]
    figure, axes = new_figure(2.6 + 1.0 * table.shape[1], 1.2 + 0.32 * len(table))
    axis = axes[0, 0]
    axis.imshow(ranked.to_numpy(), cmap="YlGnBu_r", aspect="auto", vmin=1, vmax=max(2, len(table)))
    for i, name in enumerate(ranked.index):
        for j, column in enumerate(ranked.columns):
            rank, value = ranked.loc[name, column], table.loc[name, column]
            dark = rank <= (len(table) + 1) / 2.2
            text = "-" if np.isnan(rank) else f"{rank:.0f}\n{value:.3f}"
            axis.text(j, i, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axis.set(
        xticks=range(table.shape[1]), xticklabels=table.columns, yticks=range(len(ranked)),
        yticklabels=[f"{n}  ({m:.1f})" for n, m in ranked.mean(axis=1).items()], title=title,
    )  # fmt: skip
    axis.tick_params(axis="x", rotation=30)
    return png(figure)


def confusion(label: Any, predicted: Any, title: str = "") -> str:
    """Return the share of each true type's cells that are predicted as each type.

    Parameters
    ----------
    label, predicted
        Types, `(n_cells,)`.
    title
        Its text.
    """
    label, predicted = np.asarray(label).astype(str), np.asarray(predicted).astype(str)
    names = sorted({*label, *predicted})
    shares = pd.crosstab(label, predicted, normalize="index").reindex(index=names, columns=names, fill_value=0)
    side = 2.2 + 0.34 * len(names)
    figure, axes = new_figure(side + 0.8, side)
    axis = axes[0, 0]
    axis.imshow(shares.to_numpy(), cmap="Blues", vmin=0, vmax=1)
    for (i, j), v in np.ndenumerate(shares.to_numpy()):
        if v >= 0.005:
            axis.text(j, i, f"{v:.2f}", ha="center", va="center", fontsize=7, color="white" if v > 0.6 else "black")
    axis.set(xticks=range(len(names)), yticks=range(len(names)), xlabel="predicted", ylabel="true", title=title)
    axis.set_xticklabels(names, rotation=60, ha="right")
    axis.set_yticklabels(names)
    return png(figure)


def agreement(pairs: Mapping[str, tuple[Any, Any]], xlabel: str, ylabel: str) -> str:
    """Return scatter plots of one quantity against another that should equal it, with the diagonal.

    Parameters
    ----------
    pairs
        Title of a panel to x and y.
    xlabel, ylabel
        Texts.
    """
    figure, axes = new_figure(3.6 * len(pairs), 3.3, ncols=len(pairs))
    for axis, (title, (x, y)) in zip(axes[0], pairs.items(), strict=True):
        low, high = float(min(np.min(x), np.min(y))), float(max(np.max(x), np.max(y)))
        axis.plot([low, high], [low, high], color="#999999", lw=1, ls=":")
        axis.scatter(x, y, s=6, alpha=0.5, color=COLOURS[0], linewidths=0)
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
    return png(figure)
