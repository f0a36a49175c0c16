"""The same training runs over several seeds: each a run folder, and one table of scores with intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments import run_folder as run_folder
from experiments.perturbation.config import TrainConfig
from experiments.perturbation.report import runs_report
from experiments.perturbation.runs import METRICS, train_run
from samplers.errors import InputError


def run_seeds(
    runs: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    out: Path,
    progress: Callable[[str], None] = lambda _: None,
) -> pd.DataFrame:
    """Train every run with every seed in `out/<run>-<seed>`; finished ones are read. Write and return the table.

    Parameters
    ----------
    runs
        Name -> settings of `TrainConfig`.
    seeds
        Of hold-out, weights and cells.
    """
    if not runs:
        raise InputError("the configuration names no runs")
    run_folder.create(out, {"runs": {k: dict(v) for k, v in runs.items()}, "seeds": list(seeds)})
    rows, gains = [], []
    for name, settings in runs.items():
        config = TrainConfig.from_dict(settings)
        for seed in seeds:
            where = out / f"{name}-{seed}"
            if not (where / METRICS).is_file():
                progress(f"{name}, seed {seed}")
                train_run(replace(config, seed=seed), where)
            metrics = json.loads((where / METRICS).read_text())
            own = metrics["model"]
            for predictor, scores in {"model": own, **metrics["baselines"]}.items():
                rows.append(
                    {
                        "run": name,
                        "predictor": predictor,
                        "seed": seed,
                        **{k: scores[k] for k in ("des", "pds", "mae", "overall")},
                    }
                )
                if predictor != "model":
                    gains.append(
                        {
                            "run": name,
                            "baseline": predictor,
                            "pds": own["pds"] - scores["pds"],
                            "mae": scores["mae"] - own["mae"],
                        }
                    )
    scores = _interval(pd.DataFrame(rows), ["run", "predictor"], ["des", "pds", "mae", "overall"])
    margins = _interval(pd.DataFrame(gains), ["run", "baseline"], ["pds", "mae"])
    for metric in ("pds", "mae"):
        margins[f"{metric} verdict"] = np.select(
            [margins[metric] >= 0, margins[metric] + margins[f"{metric} +-"].fillna(0) >= 0],
            ["at least as good", "within the interval"],
            "WORSE",
        )
    run_folder.write_text(out / "scores.csv", scores.to_csv(index=False))
    run_folder.write_text(out / "margins.csv", margins.to_csv(index=False))
    note = f"{len(seeds)} seeds: mean and 95 % t half-width over seeds. Margins are paired by seed."
    runs_report(out, note, scores, margins)
    return scores


def _interval(frame: pd.DataFrame, keys: list[str], columns: list[str]) -> pd.DataFrame:
    from scipy.stats import t

    rows = []
    for key, part in frame.groupby(keys, sort=False):
        row: dict[str, Any] = dict(zip(keys, key, strict=True))
        for column in columns:
            values = part[column].dropna().to_numpy(float)
            row[column] = values.mean() if values.size else float("nan")
            n = values.size
            row[f"{column} +-"] = t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else float("nan")
        rows.append(row)
    return pd.DataFrame(rows)
