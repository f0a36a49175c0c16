"""A sweep of the quantum head, ranked on validation pairs; the test is looked at once, for the setting chosen."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import run_folder
from experiments.comparison.grid import Entry, require_all
from experiments.drug_response import cells
from experiments.drug_response.config import SweepConfig
from experiments.drug_response.metrics import all_metrics
from experiments.drug_response.report import setting_name, sweep_report
from qbmvae.drug_response import DrugData, DrugResponse, NetworkOptions, Split, TrainingOptions, sized_split

AXES = ("n_qubits", "n_layers", "learning_rate", "optimiser")


def sweep(
    config: SweepConfig,
    out: Path,
    say: Callable[[str], None] = lambda line: None,
    workers: int = 1,
    ray: str | None = None,
) -> dict[str, Any]:
    """Run the sweep in a folder; called again it goes on where it stopped.

    Parameters
    ----------
    config
        What to try.
    out
        The run folder: `fits/*.json`, `sweep.csv`, `metrics.json`, `report.html`.
    say
        Takes a line of progress.
    workers, ray
        Where, see `experiments.comparison.executors.each`.

    Returns
    -------
    `setting`, `validation_mse`, `test_mse` and all test metrics of the chosen setting.
    """
    settings = [
        dict(zip(AXES, values, strict=True)) for values in itertools.product(*(getattr(config, axis) for axis in AXES))
    ]
    entries = [
        Entry("-".join(map(str, (*setting.values(), seed))), (config, setting, seed))
        for setting in settings
        for seed in config.seeds
    ]
    found = cells.run_grid(config, out, entries, train, say=say, workers=workers, ray=ray)
    require_all(out, entries)
    scores = pd.DataFrame(found).rename(columns={"seconds": "cpu_seconds"})
    kept = {"validation_mse": "mean", "angles": "first", "cpu_seconds": "mean"}
    means = scores.groupby(list(AXES), sort=False).agg(kept).reset_index()
    ranked = means.sort_values("validation_mse", ignore_index=True)
    best = {axis: ranked.iloc[0][axis] for axis in AXES}
    best = {axis: value.item() if hasattr(value, "item") else value for axis, value in best.items()}
    data = cells.shared_data(config.tables)
    model, parts = _fit(config, data, best, config.seeds[0])
    test = all_metrics(data.response[parts.test], model.predict_pairs(data, parts.test), data.drug[parts.test])
    chosen = {
        "setting": setting_name(best),
        "validation_mse": float(ranked.iloc[0]["validation_mse"]),
        "test_mse": test["mse"],
        "test": test,
    }
    run_folder.write_text(out / "sweep.csv", ranked.to_csv(index=False))
    run_folder.write_json(out / "metrics.json", chosen)
    sweep_report(out, ranked, chosen)
    return chosen


def train(path: Path, config: SweepConfig, setting: dict[str, Any], seed: int) -> dict[str, Any]:
    """Train one setting with one seed and return its validation error; it has no files besides its result at `path`.

    Parameters
    ----------
    path
        The result file.
    config, setting, seed
        The sweep, a value of each axis, the seed.
    """
    begin = time.process_time()
    model, _ = _fit(config, cells.shared_data(config.tables), setting, seed)
    return {
        **setting,
        "seed": seed,
        "validation_mse": min(model.history["mse_validation"]),
        "angles": sum(p.numel() for p in model.network.head.parameters()) - 2,
        "seconds": time.process_time() - begin,
    }


def _fit(config: SweepConfig, data: DrugData, setting: dict[str, Any], seed: int) -> tuple[DrugResponse, Split]:
    parts = sized_split(data, n_train=config.train, n_validation=config.validation, n_test=config.test, seed=seed)
    network = NetworkOptions(
        head="quantum",
        cell_encoder=config.tables.cell_encoder,
        n_qubits=setting["n_qubits"],
        n_layers=setting["n_layers"],
    )
    training = TrainingOptions(
        epochs=config.epochs,
        batch_size=config.batch_size,
        learning_rate=setting["learning_rate"],
        optimiser=setting["optimiser"],
        pairs_per_line=config.pairs_per_line,
        seed=seed,
    )
    return DrugResponse(data, network, seed=seed).fit(data, parts, training), parts
