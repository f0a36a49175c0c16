"""Figures of the drug-response reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.report.plots import new_figure, save

COLOURS = {
    "quantum": "#6a3d9a",
    "twin": "#ff7f00",
    "fourier": "#1f78b4",
    "mlp": "#b15928",
    "frozen": "#999999",
    "no-entanglement": "#33a02c",
    "drug-mean": "#222222",
    "line-mean": "#a6cee3",
    "drug-and-line-mean": "#08519c",
    "ridge": "#e7298a",
    "elastic-net": "#fb9a99",
    "random-forest": "#66c2a5",
    "gradient-boosting": "#e6ab02",
}


def curves(histories: Mapping[str, Sequence[Sequence[float]]], path: Path, *, title: str, level: float | None) -> None:
    """Draw test error by epoch: a thin line a seed, a thick line the mean.

    Parameters
    ----------
    histories
        Curves of each model, one a seed.
    path
        PNG to write.
    title
        Above the axes.
    level
        A dashed horizontal line (the error of the drugs' means), or None.
    """
    figure, grid = new_figure(6.4, 4)
    axes = grid[0, 0]
    for name, seeds in histories.items():
        colour = COLOURS.get(name)
        shortest = min(map(len, seeds))
        stacked = np.array([s[:shortest] for s in seeds])
        for curve in stacked:
            axes.plot(range(1, shortest + 1), curve, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(range(1, shortest + 1), stacked.mean(0), color=colour, linewidth=2, label=name)
    if level is not None:
        axes.axhline(level, color="black", linestyle="--", linewidth=1, label="mean of the drug")
    axes.set(xlabel="epoch", ylabel="MSE", title=title, yscale="log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(fontsize=8)
    save(figure, path)


def sizes(summary: pd.DataFrame, path: Path) -> None:
    """Draw the MSE of every model by number of training pairs, with 95 % intervals."""
    models = list(dict.fromkeys(summary["model"]))
    counts = sorted(summary["n_train"].unique())
    figure, grid = new_figure(7.2, 4)
    axes = grid[0, 0]
    width = 0.8 / len(models)
    for k, name in enumerate(models):
        rows = summary[summary["model"] == name].set_index("n_train").reindex(counts)
        at = np.arange(len(counts)) + (k - (len(models) - 1) / 2) * width
        error = (rows["mse"] - rows["mse_low"]).fillna(0).to_numpy()
        axes.bar(at, rows["mse"], width, yerr=error, label=name, color=COLOURS.get(name), error_kw={"lw": 0.8})
    axes.set_xticks(range(len(counts)), [f"{n:,}" for n in counts])
    axes.set(xlabel="training pairs", ylabel="MSE on the common test", yscale="log")
    axes.legend(fontsize=7, ncol=2)
    save(figure, path)


def settings(names: Sequence[str], errors: Sequence[float], path: Path) -> None:
    """Draw the validation error of every setting of a sweep, the best on top.

    Parameters
    ----------
    names, errors
        Settings in words, and their MSE on the validation pairs, best first.
    path
        PNG to write.
    """
    figure, grid = new_figure(7.2, 1.2 + 0.28 * len(names))
    axes = grid[0, 0]
    axes.plot(errors, range(len(names)), "o", color=COLOURS["quantum"])
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="MSE on the validation pairs", xscale="log")
    axes.grid(axis="y", linewidth=0.4)
    save(figure, path)


def scatter(observed: np.ndarray, predicted: np.ndarray, path: Path, *, label: str) -> None:
    """Draw predicted against observed on the target's own scale.

    Parameters
    ----------
    observed, predicted
        Values of the pairs, `(n_pairs,)`.
    path
        PNG to write.
    label
        Name of the target.
    """
    figure, grid = new_figure(4.4, 4.2)
    axes = grid[0, 0]
    axes.scatter(observed, predicted, s=float(np.clip(4000 / len(observed), 4, 28)), alpha=0.4, linewidths=0)
    ends = [float(np.min(observed)), float(np.max(observed))]
    axes.plot(ends, ends, color="black", linewidth=0.8)
    axes.set(xlabel=f"observed {label}", ylabel=f"predicted {label}")
    save(figure, path)
