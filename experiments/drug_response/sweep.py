"""A sweep of the quantum head, ranked on validation pairs; the test is looked at once, for the setting chosen."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import run_folder as run_folder
from experiments.drug_response.config import SweepConfig, plain, read_data
from experiments.drug_response.metrics import all_metrics
from experiments.drug_response.report import sweep_report
from qbmvae.drug_response import DrugData, DrugResponse, NetworkOptions, Split, TrainingOptions, sized_split

AXES = ("n_qubits", "n_layers", "learning_rate", "optimiser")


def sweep(config: SweepConfig, out: Path, *, progress: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Run the sweep in a folder; called again it goes on where it stopped.

    Parameters
    ----------
    config
        What to try.
    out
        The run folder: `cells/*.json`, `sweep.csv`, `metrics.json`, `report.html`.
    progress
        Called with a line a training.

    Returns
    -------
    `setting`, `validation_mse`, `test_mse` and all test metrics of the chosen setting.
    """
    run_folder.create(out, plain(config), started=any(out.glob("cells/*.json")))
    (out / "cells").mkdir(exist_ok=True)
    data = read_data(config.tables)
    settings = [
        dict(zip(AXES, values, strict=True)) for values in itertools.product(*(getattr(config, axis) for axis in AXES))
    ]
    rows = []
    for number, setting in enumerate(settings, 1):
        scores = [_score(config, data, setting, seed, out) for seed in config.seeds]
        rows.append(
            {
                **setting,
                "validation_mse": sum(s["validation_mse"] for s in scores) / len(scores),
                "angles": scores[0]["angles"],
                "cpu_seconds": sum(s["seconds"] for s in scores) / len(scores),
            }
        )
        progress(f"{number}/{len(settings)} {_words(setting)}: validation MSE {rows[-1]['validation_mse']:.5f}")
    ranked = pd.DataFrame(rows).sort_values("validation_mse", ignore_index=True)
    best = {axis: ranked.iloc[0][axis] for axis in AXES}
    best = {axis: value.item() if hasattr(value, "item") else value for axis, value in best.items()}
    model, parts = _fit(config, data, best, config.seeds[0])
    test = all_metrics(data.response[parts.test], model.predict_pairs(data, parts.test), data.drug[parts.test])
    chosen = {
        "setting": _words(best),
        "validation_mse": float(ranked.iloc[0]["validation_mse"]),
        "test_mse": test["mse"],
        "test": test,
    }
    run_folder.write_text(out / "sweep.csv", ranked.to_csv(index=False))
    run_folder.write_json(out / "metrics.json", chosen)
    sweep_report(out, ranked, chosen)
    return chosen


def _score(config: SweepConfig, data: DrugData, setting: dict[str, Any], seed: int, out: Path) -> dict[str, Any]:
    name = "-".join(f"{value}" for value in setting.values())
    path = out / "cells" / f"{name}-{seed}.json"
    if not path.is_file():
        begin = time.process_time()
        model, _ = _fit(config, data, setting, seed)
        result = {
            **setting,
            "seed": seed,
            "validation_mse": min(model.history["mse_validation"]),
            "angles": sum(p.numel() for p in model.network.head.parameters()) - 2,
            "seconds": time.process_time() - begin,
        }
        run_folder.write_json(path, result)
    return json.loads(path.read_text())


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


def _words(setting: dict[str, Any]) -> str:
    return ", ".join(f"{axis.replace('_', ' ')} {value}" for axis, value in setting.items())
