"""The same training runs over several seeds: each a run folder, and one table of scores with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import run_folder
from experiments.comparison.grid import Entry, require_all, run_experiment
from experiments.perturbation.config import TrainConfig
from experiments.perturbation.distribution import SCORES
from experiments.perturbation.report import runs_report
from experiments.perturbation.runs import METRICS, train_run
from experiments.perturbation.scorer2 import SCORES_2026
from experiments.perturbation.seed_runs import expanded, margins, pooled, score_rows
from samplers.errors import InputError


def run_seeds(
    runs: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    out: Path,
    say: Callable[[str], None] = lambda line: None,
    workers: int = 1,
    ray: str | None = None,
) -> pd.DataFrame:
    """Train every run with every seed in a folder of its own; finished ones are read. Write and return the table.

    Parameters
    ----------
    runs
        Name -> settings, see `seed_runs.expanded`.
    seeds
        Of hold-out, weights and cells.
    out
        The folder: the run folders, `fits/*.json`, `results.csv`, `scores.csv`, `margins.csv`, `report.html`.
    say
        Takes a line of progress.
    workers, ray
        Where, see `experiments.comparison.executors.each`.

    Raises
    ------
    InputError
        Where there are no runs, a run holds nothing out, or its data are wrong.
    """
    if not runs:
        raise InputError("the configuration names no runs")
    every = [run for name, settings in runs.items() for run in expanded(name, settings, seeds)]
    # a seed is complete before the next one begins; the table keeps the order of the runs
    order = {seed: k for k, seed in enumerate(seeds)}
    entries = {
        run.folder: Entry(run.folder, (run.config,)) for run in sorted(every, key=lambda r: order[r.config.seed])
    }
    described = {"runs": {k: dict(v) for k, v in runs.items()}, "seeds": list(seeds)}
    todo = list(entries.values())
    computed = run_experiment(out, described, todo, train_entry, workers=workers, ray=ray, say=say)
    require_all(out, todo)
    found = dict(zip(entries, computed, strict=True))
    rows: list[dict[str, Any]] = []
    seen = set()
    for run in every:
        key = (run.run, run.context, run.config.seed)
        rows += score_rows(run, found[run.folder], key not in seen)
        seen.add(key)
    frame = pd.DataFrame(rows)
    scores = pooled(frame, "predictor", ["des", "pds", "mae", "overall", *SCORES, *SCORES_2026])
    gains = margins(frame)
    run_folder.write_text(out / "results.csv", frame.to_csv(index=False))
    run_folder.write_text(out / "scores.csv", scores.to_csv(index=False))
    run_folder.write_text(out / "margins.csv", gains.to_csv(index=False))
    note = f"{len(seeds)} seeds: mean and 95 % t half-width over seeds, or over the contexts that are held out in turn."
    runs_report(out, note, scores, gains)
    return scores


def train_entry(path: Path, config: TrainConfig) -> dict[str, Any]:
    """Train one run in a folder of its own next to `fits/`, or read it where it is finished; return its scores."""
    folder = path.parents[1] / path.stem
    done = (folder / METRICS).is_file()
    metrics = run_folder.read_json(folder / METRICS) if done else train_run(config, folder)
    return {name: metrics.get(name) for name in ("model", "baselines", "distribution", "challenge_2026")}
