"""The report of `qbmvae samplers check`: the verdict, its grounds, and the plots that show them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from experiments.report.page import figure_of, page
from experiments.report.tables import table
from experiments.report.values import Spread
from samplers.diagnostics.plots import write_plots
from samplers.files import write_json, write_text

if TYPE_CHECKING:
    from samplers import Ising
    from samplers.diagnostics.verdict import Verdict

CAPTIONS = {
    "energies": "energies of the reads and of the reference: the same histogram if the backend samples",
    "moments": "correlations of pairs of spins: on the line, inside the band, if the backend samples",
    "fields": "share of spins up by their local field: the slope is the temperature",
    "residuals": "Callen residuals: standard normal if the reads are Boltzmann's",
    "ladder": "swap acceptance by temperature: no gap if the ladder is close enough",
}


def write_check(folder: Path, backend: str, verdict: Verdict, problem: Ising, seed: int) -> list[Path]:
    """Write verdict.json, the plots and report.html of a verdict, and return the paths of the plots.

    Parameters
    ----------
    folder
        Where they go; made where missing.
    backend
        As the user named it.
    verdict
        What `samplers.diagnostics.verdict.check` found.
    problem
        The problem.
    seed
        Of the draws.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "verdict.json", {"backend": backend, "seed": seed, **verdict.as_dict()})
    paths = write_plots(verdict, problem, folder)
    write_text(folder / "report.html", sampler_report(backend, verdict, paths))
    return paths


def sampler_report(backend: str, verdict: Verdict, plots: Sequence[Path]) -> str:
    """Return the page of a verdict.

    Parameters
    ----------
    backend
        As the user named it.
    verdict
        What `samplers.diagnostics.verdict.check` found.
    plots
        The PNG files of `write_plots`.
    """
    frame = pd.DataFrame(
        {
            "status": [f.status for f in verdict.findings],
            "value": [Spread.around(f.value, f.error) for f in verdict.findings],
            "meaning": [f.meaning for f in verdict.findings],
        },
        index=pd.Index([f.name for f in verdict.findings], name="finding"),
    )
    lead = {
        "texts": [f"{verdict.level.capitalize()}: {verdict.summary}"],
        "figures": figure_of(plots[0], CAPTIONS[plots[0].stem]),
    }
    figures = [f for path in plots[1:] for f in figure_of(path, CAPTIONS.get(path.stem, path.stem))]
    sections = [
        {"title": "Findings", "tables": [table(frame, best=None)]},
        {"title": "What shows it", "figures": figures},
    ]
    subtitle = f"{verdict.kind}; {verdict.num_spins} spins, {verdict.num_reads:,} reads at beta {verdict.beta:g}"
    return page(f"Check of {backend}", subtitle, sections, lead)
