"""The results of a comparison as files: one an entry of the grid, and one tidy table of them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from experiments.comparison.config import Comparison
from experiments.comparison.grid import Entry, read_entry
from experiments.methods.registry import METHODS

CONFIG = "comparison.json"
#: Annotations and variable genes of a data set's cells, next to its results.
CELLS = "cells.parquet"


def entries(comparison: Comparison) -> list[Entry]:
    """Return the entries of a comparison's grid."""
    return [
        Entry(
            f"{data.name}/{model.name}__{seed}", (comparison, data, model, seed), comparison.fit_hash(data, model, seed)
        )
        for data, model, seed in comparison.fits()
    ]


def results_table(out: Path, comparison: Comparison) -> pd.DataFrame:
    """Return every score of the entries that have a result: one row a score.

    Returns
    -------
    pandas.DataFrame
        "dataset", "model", "seed", "task", "metric", "epoch" (the last where -1), "value", "seconds", "cpu_seconds",
        "uses_labels", "dimensions", "deterministic".
    """
    rows = []
    for entry in entries(comparison):
        result, model = read_entry(out, entry), entry.arguments[2]
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
