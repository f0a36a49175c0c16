"""Plots of a verdict: one PNG a question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from samplers.diagnostics.verdict import Verdict
from samplers.errors import needs
from samplers.files import write_atomically
from samplers.problem import Ising

READS, EXACT, RANDOM = "#1f5fa8", "#c8501e", "#8a8a8a"


def write_plots(verdict: Verdict, problem: Ising, folder: str | Path) -> list[Path]:
    """Write the plots of a verdict into a folder, which is made if it does not exist; return their paths.

    `energies.png`, `moments.png`, `fields.png` (the temperature), `residuals.png`, and `ladder.png` for parallel
    tempering.

    Parameters
    ----------
    verdict
        What `check` found.
    problem
        The problem that was checked.
    folder
        Where the files go; made where missing.

    Raises
    ------
    MissingExtraError
        Where matplotlib is not installed.
    """
    with needs("matplotlib", "machines"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    panels: dict[str, Callable[[Any, Verdict, Ising], None]] = {
        "energies": _energies, "moments": _moments, "fields": _fields, "residuals": _residuals,
    }  # fmt: skip
    if "acceptance" in verdict.draws.info and "ladder" in verdict.draws.info:
        panels["ladder"] = _ladder
    paths = []
    for name, draw in panels.items():
        figure = Figure(figsize=(5.6, 4.2), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        draw(axes, verdict, problem)
        axes.spines[["top", "right"]].set_visible(False)
        path = folder / f"{name}.png"
        paths.append(write_atomically(path, figure.savefig))
    return paths


def _energies(axes: Any, verdict: Verdict, problem: Ising) -> None:
    n, draws, exact = problem.n, verdict.draws, problem.energies(verdict.against.states) / problem.n
    found = draws.energies / n
    low, high = min(found.min(), exact.min()), max(found.max(), exact.max())
    bins = np.linspace(low - 1e-9, high + 1e-9, 41)
    axes.hist(exact, bins, density=True, color=EXACT, alpha=0.45, label=f"reference: {verdict.against.method}")
    axes.hist(
        found,
        bins,
        density=True,
        weights=draws.weights,
        histtype="step",
        color=READS,
        lw=1.8,
        label=f"reads: {verdict.sampler}",
    )
    if verdict.random_draws is not None:
        other = problem.energies(verdict.random_draws.states) / n
        axes.hist(other, bins, density=True, histtype="step", color=RANDOM, ls="--", label="random start, same sweeps")
    axes.set(xlabel="energy per spin", ylabel="density", title=f"Energies at beta {verdict.beta:g}")
    axes.legend(frameon=False)


def _moments(axes: Any, verdict: Verdict, problem: Ising) -> None:
    pairs = np.triu_indices(problem.n, 1)
    exact = verdict.against.second[pairs]
    if verdict.random_draws is not None:
        _scatter(axes, exact, verdict.random_draws.second_moments()[pairs], RANDOM, "random start, same sweeps")
    _scatter(axes, exact, verdict.draws.second_moments()[pairs], READS, f"reads: {verdict.sampler}")
    line = np.linspace(-1, 1, 101)
    band = 2 * np.sqrt((1 - line**2) * (1 / len(verdict.draws) + 1 / verdict.against.num_reads))
    axes.fill_between(
        line, line - band, line + band, color=EXACT, alpha=0.25, lw=0, label="±2 errors of independent reads"
    )
    axes.plot(line, line, color=EXACT, lw=0.8)
    axes.set(
        xlabel=f"E[s_i s_j], {verdict.against.method}", ylabel="E[s_i s_j], reads", xlim=(-1.02, 1.02), ylim=(-1.02, 1.02),
        title=f"Moments: {verdict['moment error'].value:.2f} x the error of independent reads",
    )  # fmt: skip
    axes.legend(frameon=False, loc="upper left")


def _scatter(axes: Any, x: np.ndarray, y: np.ndarray, colour: str, label: str) -> None:
    # more points than these are one blot
    keep = np.random.default_rng(0).permutation(len(x))[:4000]
    axes.plot(x[keep], y[keep], ".", ms=3, alpha=0.6, color=colour, label=label)


def _fields(axes: Any, verdict: Verdict, problem: Ising) -> None:
    draws, beta = verdict.draws, verdict.beta
    fields = problem.local_fields(draws.states).ravel()
    up, weights = (draws.states.ravel() > 0), np.repeat(draws.weights, problem.n)
    edges = np.unique(np.quantile(fields, np.linspace(0, 1, 26)))
    if len(edges) > 2:
        of = np.clip(np.searchsorted(edges, fields, side="right") - 1, 0, len(edges) - 2)
        mass = np.bincount(of, weights, len(edges) - 1)
        share = np.bincount(of, weights * up, len(edges) - 1) / np.maximum(mass, 1e-300)
        centre = np.bincount(of, weights * fields, len(edges) - 1) / np.maximum(mass, 1e-300)
        axes.plot(centre, share, "o", ms=4, color=READS, label=f"reads: {verdict.sampler}")
    line = np.linspace(fields.min() - 0.1, fields.max() + 0.1, 200)
    axes.plot(line, _logistic(2 * beta * line), color=EXACT, label=f"Boltzmann, beta {beta:g}")
    found = verdict["effective beta"].value
    if np.isfinite(found):
        axes.plot(line, _logistic(2 * found * line), color=READS, lw=0.9, ls="--", label=f"effective beta {found:.3g}")
    axes.set(xlabel="local field F", ylabel="share of spins up", title="Temperature: spins against their local fields")
    axes.legend(frameon=False)


def _logistic(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x / 2))


def _residuals(axes: Any, verdict: Verdict, problem: Ising) -> None:
    z = verdict.residuals.ravel()
    reach = max(4.0, float(np.quantile(np.abs(z), 0.999)))
    axes.hist(np.clip(z, -reach, reach), 60, density=True, color=READS, alpha=0.6, label=f"reads: {verdict.sampler}")
    line = np.linspace(-reach, reach, 300)
    axes.plot(line, np.exp(-(line**2) / 2) / np.sqrt(2 * np.pi), color=EXACT, label="Boltzmann, independent reads")
    axes.set(
        xlabel="z of E[s_j (s_i - tanh(beta F_i))]", ylabel="density",
        title=f"Callen residuals: mean z² {np.square(z).mean():.2f}",
    )  # fmt: skip
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])
    axes.legend(frameon=False, loc="upper left")


def _ladder(axes: Any, verdict: Verdict, problem: Ising) -> None:
    ladder, acceptance = np.asarray(verdict.draws.info["ladder"]), np.asarray(verdict.draws.info["acceptance"])
    axes.plot((ladder[1:] + ladder[:-1]) / 2, acceptance, "o-", color=READS)
    trips = f"{verdict['round trips'].value:.2g} round trips a ladder" if "round trips" in verdict else ""
    axes.set(xlabel="beta", ylabel="swap acceptance", ylim=(0, 1), title=f"Parallel tempering: {trips}")
