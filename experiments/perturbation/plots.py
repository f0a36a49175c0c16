"""Figures of a perturbation report: architecture, principal components, similarity heat-map, training, score bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from experiments.report.plots import new_figure, save
from qbmvae.perturbation.diagnostics import principal_coordinates, similarity
from qbmvae.perturbation.options import Options


def architecture(options: Options, width: int, n_genes: int, backbone: str, path: Path) -> None:
    """Draw the path from control cells and features to predicted cells.

    Parameters
    ----------
    options
        Of the predictor.
    width, n_genes
        Values of the backbone, genes.
    backbone
        Its name.
    path
        PNG to write.
    """
    figure, axes = new_figure(10.5, 2.9)
    axis = axes[0, 0]
    qubits = options.n_qubits * options.n_blocks
    outputs = qubits * (3 if options.readout == "xyz" else 1)
    core = {
        "circuit": f"re-uploading circuit\n{options.n_blocks} x {options.n_qubits} qubits, {options.n_layers} layers\nangles x {options.angle_scale:g}",
        "mlp": f"MLP {qubits}-{outputs}-{outputs}",
        "none": "",
    }[options.bottleneck]
    boxes = [(f"control cells\n+ features\n({backbone})", 0.0), (f"backbone\n{width} values", 2.1)]
    if core:
        boxes += [
            (f"angles\n{qubits}", 4.0),
            (core, 6.0),
            (f"{options.decoder} decoder\n{outputs} -> {n_genes:,}", 8.6),
        ]
    boxes.append(("delta\n+ control\n= cells", 10.9))
    for text, x in boxes:
        axis.text(
            x,
            0.55,
            text,
            ha="center",
            va="center",
            fontsize=8.5,
            bbox={"boxstyle": "round,pad=0.45", "fc": "#eaf1fb", "ec": "#4a6fa5"},
        )
    half = [0.05 * max(map(len, text.split("\n"))) + 0.28 for text, _ in boxes]
    for ((_, a), left), ((_, b), right) in pairwise(zip(boxes, half, strict=True)):
        axis.annotate("", (b - right, 0.55), (a + left, 0.55), arrowprops={"arrowstyle": "->", "color": "#555"})
    if options.bypass != "none":
        axis.annotate(
            "",
            (10.6, 0.36),
            (2.4, 0.36),
            arrowprops={"arrowstyle": "->", "color": "#b5541c", "connectionstyle": "arc3,rad=0.12"},
        )
        gate = ", circuit times a gate that starts at 0" if options.gate else ""
        axis.text(6.4, -0.3, f"{options.bypass} bypass{gate}", ha="center", color="#b5541c", fontsize=8.5)
    axis.set(xlim=(-1.2, 12), ylim=(-0.45, 1.0))
    axis.axis("off")
    save(figure, path)


def components(effects: Mapping[str, np.ndarray], path: Path) -> None:
    """Scatter the first two principal components of each set of effects (P >= 3, n_genes), one panel a set, one scale."""
    figure, axes = new_figure(4.2 * len(effects), 3.8, ncols=len(effects))
    limit = 0.0
    for axis, (name, values) in zip(axes[0], effects.items(), strict=True):
        points, share = principal_coordinates(values)
        limit = max(limit, 1.05 * float(np.abs(points).max()))
        axis.scatter(points[:, 0], points[:, 1], s=14, color="#4a6fa5")
        axis.set(title=f"{name} effects", xlabel=f"PC 1 ({share[0]:.0%})", ylabel=f"PC 2 ({share[1]:.0%})")
    if limit:
        for axis in axes[0]:
            axis.set(xlim=(-limit, limit), ylim=(-limit, limit))
    save(figure, path)


def heat_maps(effects: Mapping[str, np.ndarray], names: Sequence[str], path: Path) -> None:
    """Show the correlation of every two perturbations' effects, one panel a set, in the order of the last set's PC 1.

    Parameters
    ----------
    effects
        Name of a set to its effects, `(n_perturbations, n_genes)`.
    names
        The perturbations; above 60 only every second, third, ... is written.
    path
        PNG to write.
    """
    n = len(names)
    side = float(np.clip(0.16 * n, 3.2, 9))
    figure, axes = new_figure((side + 1.0) * len(effects) + 0.8, side + 1.0, ncols=len(effects))
    last = list(effects.values())[-1]
    order = principal_coordinates(last, 1)[0][:, 0].argsort() if len(last) > 2 else np.arange(len(last))
    places = np.arange(0, n, -(-n // 60))
    for axis, (name, values) in zip(axes[0], effects.items(), strict=True):
        shown = axis.imshow(similarity(values)[np.ix_(order, order)], vmin=-1, vmax=1, cmap="RdBu_r")
        axis.set(title=f"{name} effects")
        written = [names[order[i]] for i in places]
        axis.set_xticks(places, written, rotation=90, fontsize=7)
        axis.set_yticks(places, written, fontsize=7)
    figure.colorbar(shown, ax=axes[0].tolist(), label="correlation", shrink=0.85)
    save(figure, path)


def training(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot the losses by epoch."""
    figure, axes = new_figure(6.5, 3.4)
    axis = axes[0, 0]
    for stage, style in (("validate", "-"), ("train", "--")):
        rows = [row for row in history if row["stage"] == stage]
        if rows:
            axis.plot(
                [r["epoch"] for r in rows],
                [r["loss"] for r in rows],
                style,
                color="#4a6fa5",
                label=f"training loss ({stage})",
            )
        if rows and "validation_error" in rows[0]:
            axis.plot(
                [r["epoch"] for r in rows],
                [r["validation_error"] for r in rows],
                color="#b5541c",
                label="held-out squared error",
            )
    axis.set(xlabel="epoch", ylabel="in units of the deltas' mean square")
    if axis.lines:
        axis.legend(frameon=False)
    else:
        axis.text(0.5, 0.5, "no epochs: the start was best", ha="center", transform=axis.transAxes)
    save(figure, path)


def score_bars(scores: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Show PDS, MAE and DES of several predictors with 95 % intervals: half-widths "pds +-", or standard errors "pds_se"."""
    figure, axes = new_figure(11, 0.5 + 0.42 * len(scores), ncols=3)
    names = list(scores)
    for axis, (metric, title) in zip(
        axes[0],
        (
            ("pds", "discrimination (PDS), more is better"),
            ("mae", "error (MAE), less is better"),
            ("des", "gene recovery (DES), more is better"),
        ),
        strict=True,
    ):
        values = [scores[n][metric] for n in names]
        halves = [scores[n].get(f"{metric} +-", 1.96 * scores[n].get(f"{metric}_se", 0.0)) for n in names]
        axis.barh(
            range(len(names)),
            values,
            xerr=np.nan_to_num(halves),
            color=["#4a6fa5" if n == "model" else "#b8c4d6" for n in names],
        )
        axis.set_yticks(range(len(names)), names if axis is axes[0, 0] else [])
        axis.invert_yaxis()
        axis.locator_params(axis="x", nbins=6)
        axis.set_title(title, fontsize=9)
        if metric == "pds":
            axis.axvline(0.5, color="#888", lw=0.8, ls=":")
    save(figure, path)
