"""The same training runs over several seeds: each a run folder, and one table of scores with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import run_folder as run_folder
from experiments.perturbation.distribution import SCORES
from experiments.perturbation.report import runs_report
from experiments.perturbation.runs import METRICS, train_run
from experiments.perturbation.seed_runs import expanded, margins, pooled, score_rows
from samplers.errors import InputError


def run_seeds(
    runs: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    out: Path,
    progress: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Train every run with every seed in a folder of its own; finished ones are read. Write and return the table.

    Parameters
    ----------
    runs
        Name -> settings, see `seed_runs.expanded`.
    seeds
        Of hold-out, weights and cells.
    """
    if not runs:
        raise InputError("the configuration names no runs")
    every = [run for name, settings in runs.items() for run in expanded(name, settings, seeds)]
    # a seed is complete before the next one begins; the table keeps the order of the runs
    todo = sorted(every, key=lambda run: list(seeds).index(run.config.seed))
    run_folder.create(out, {"runs": {k: dict(v) for k, v in runs.items()}, "seeds": list(seeds)})
    rows: list[dict[str, Any]] = []
    seen = set()
    for k, run in enumerate(todo):
        where = out / run.folder
        if not (where / METRICS).is_file():
            progress(f"{k + 1} of {len(every)}: {run.folder}")
            train_run(run.config, where)
    for run in every:
        where = out / run.folder
        key = (run.run, run.context, run.config.seed)
        rows += score_rows(run, run_folder.read_json(where / METRICS), key not in seen)
        seen.add(key)
    frame = pd.DataFrame(rows)
    scores = pooled(frame, "predictor", ["des", "pds", "mae", "overall", *SCORES])
    gains = margins(frame)
    run_folder.write_text(out / "results.csv", frame.to_csv(index=False))
    run_folder.write_text(out / "scores.csv", scores.to_csv(index=False))
    run_folder.write_text(out / "margins.csv", gains.to_csv(index=False))
    note = f"{len(seeds)} seeds: mean and 95 % t half-width over seeds, or over the contexts that are held out in turn."
    runs_report(out, note, scores, gains)
    return scores
