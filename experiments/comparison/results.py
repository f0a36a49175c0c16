"""The results of a comparison as files: one a cell of the grid, and one tidy table of them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.comparison.config import Comparison, DataSpec, ModelSpec
from experiments.methods.registry import METHODS

CONFIG = "comparison.json"


def cell_path(out: Path, data: str, model: str, seed: int) -> Path:
    """Return the result file of a cell."""
    return out / "cells" / data / f"{model}__{seed}.json"


def read_result(
    out: Path, comparison: Comparison, data: DataSpec, model: ModelSpec, seed: int
) -> dict[str, Any] | None:
    """Return a cell's result where it is there, of the same settings, and no failure."""
    path = cell_path(out, data.name, model.name, seed)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if found.get("hash") != comparison.cell_hash(data, model, seed) or "error" in found:
        return None
    return found


def results_table(out: Path, comparison: Comparison) -> pd.DataFrame:
    """Return every score of the cells that have a result: one row a score.

    Returns
    -------
    pandas.DataFrame
        "dataset", "model", "seed", "task", "metric", "epoch" (the last where -1), "value", "seconds", "cpu_seconds",
        "uses_labels", "dimensions", "deterministic".
    """
    rows = []
    for data, model, seed in comparison.cells():
        result = read_result(out, comparison, data, model, seed)
        if result is None:
            continue
        common = {
            k: result[k] for k in ("dataset", "model", "seed", "seconds", "cpu_seconds", "uses_labels", "dimensions")
        }
        common["deterministic"] = METHODS[model.method].deterministic
        for task, scores in result["scores"].items():
            for metric, value in flatten(scores):
                rows.append({**common, "task": task, "metric": metric, "epoch": -1, "value": value})
        for epoch, scores in result["by_epoch"].items():
            for metric, value in flatten(scores):
                rows.append({**common, "task": "integration", "metric": metric, "epoch": int(epoch), "value": value})
    columns = [
        "dataset",
        "model",
        "seed",
        "task",
        "metric",
        "epoch",
        "value",
        "seconds",
        "cpu_seconds",
        "uses_labels",
        "dimensions",
        "deterministic",
    ]
    return pd.DataFrame(rows, columns=columns)


def flatten(scores: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    """Return nested scores as (name, number) pairs; text is left out, an undefined score is NaN."""
    flat: list[tuple[str, float]] = []
    for name, value in scores.items():
        if isinstance(value, dict):
            flat += flatten(value, f"{prefix}{name}: ")
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            flat.append((prefix + name, float("nan") if value is None else float(value)))
    return flat
