"""The same training runs over several seeds: each a run folder, and one table of scores with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments import run_folder
from experiments.comparison.grid import Entry, require_all, run_experiment
from experiments.comparison.statistics import means
from experiments.perturbation.config import TrainConfig
from experiments.perturbation.report import runs_report
from experiments.perturbation.runs import METRICS, train_run
from samplers.errors import InputError

SCORES = ("des", "pds", "mae", "overall")


def run_seeds(
    runs: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    out: Path,
    say: Callable[[str], None] = lambda line: None,
    workers: int = 1,
    ray: str | None = None,
) -> pd.DataFrame:
    """Train every run with every seed in `out/<run>-<seed>`; finished ones are read. Write and return the table.

    Parameters
    ----------
    runs
        Name -> settings of `TrainConfig`.
    seeds
        Of hold-out, weights and cells.
    out
        The folder: the run folders, `fits/*.json`, `scores.csv`, `margins.csv`, `report.html`.
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
    configs = {name: TrainConfig.from_dict(settings) for name, settings in runs.items()}
    for name, config in configs.items():
        if config.resolved_holdout() == "none":
            raise InputError(f"run {name!r} holds nothing out, so it has no scores to compare over seeds")
    keys = [(name, seed) for name in configs for seed in seeds]
    entries = [Entry(f"{name}-{seed}", (replace(configs[name], seed=seed),)) for name, seed in keys]
    described = {"runs": {k: dict(v) for k, v in runs.items()}, "seeds": list(seeds)}
    found = run_experiment(out, described, entries, train_entry, workers=workers, ray=ray, say=say)
    require_all(out, entries)
    rows, gains = [], []
    for (run, seed), metrics in zip(keys, found, strict=True):
        own, baselines = metrics["model"], metrics["baselines"]
        for predictor, scores in {"model": own, **baselines}.items():
            rows.append({"run": run, "predictor": predictor, "seed": seed, **{k: scores[k] for k in SCORES}})
        for baseline, scores in baselines.items():
            margins = {"pds": own["pds"] - scores["pds"], "mae": scores["mae"] - own["mae"]}
            gains.append({"run": run, "baseline": baseline, **margins})
    table = means(pd.DataFrame(rows), ["run", "predictor"], SCORES)
    against = means(pd.DataFrame(gains), ["run", "baseline"], ("pds", "mae"))
    for metric in ("pds", "mae"):
        against[f"{metric} verdict"] = np.select(
            [against[metric] >= 0, against[metric] + against[f"{metric} +-"].fillna(0) >= 0],
            ["at least as good", "within the interval"],
            "WORSE",
        )
    run_folder.write_text(out / "scores.csv", table.to_csv(index=False))
    run_folder.write_text(out / "margins.csv", against.to_csv(index=False))
    note = f"{len(seeds)} seeds: mean and 95 % t half-width over seeds. Margins are paired by seed."
    runs_report(out, note, table, against)
    return table


def train_entry(path: Path, config: TrainConfig) -> dict[str, Any]:
    """Train one run in a folder of its own next to `fits/`, or read it where it is finished; return its scores."""
    folder = path.parents[1] / path.stem
    done = (folder / METRICS).is_file()
    metrics = run_folder.read_json(folder / METRICS) if done else train_run(config, folder)
    return {"model": metrics["model"], "baselines": metrics["baselines"]}
