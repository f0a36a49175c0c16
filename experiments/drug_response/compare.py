"""The comparison: runs the cells that are not there yet, then writes tables, claims and report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import run_folder as run_folder
from experiments.drug_response import cells
from experiments.drug_response.claims import claims, differences, summary
from experiments.drug_response.config import CompareConfig, build, plain, read_data

Progress = Callable[[str], None]


def compare(config: CompareConfig, out: Path, *, progress: Progress = lambda line: None) -> dict[str, pd.DataFrame]:
    """Run the comparison in a folder; called again it goes on where it stopped.

    Parameters
    ----------
    config
        What to compare.
    out
        The run folder: `config.yaml`, `versions.json`, `cells/*.json`, `results.parquet`, `summary.csv`,
        `differences.csv`, `claims.csv`, `metrics.json`, `report.html`.
    progress
        Called with a line a cell.

    Returns
    -------
    The tables of `tables`.
    """
    run_folder.create(out, plain(config), started=any(out.glob("cells/*.json")))
    (out / "cells").mkdir(exist_ok=True)
    todo = [c for c in cells.grid(config) if not (out / "cells" / f"{c.key}.json").is_file()]
    if todo:
        data = read_data(config.tables)
        for note in data.notes:
            progress(note)
        for number, cell in enumerate(todo, 1):
            result = cells.run_cell(config, data, cell)
            run_folder.write_json(out / "cells" / f"{cell.key}.json", result)
            progress(
                f"{number}/{len(todo)} {cell.name}, {cell.size.train} pairs, seed {cell.seed}: "
                f"test MSE {result['common']['mse']:.5f} ({result['seconds']:.0f} s)"
            )
    return write_tables(out)


def write_tables(out: Path) -> dict[str, pd.DataFrame]:
    """Write tables and report of the cells that are there, and return the tables."""
    from experiments.drug_response.report import compare_report

    config = build(CompareConfig, run_folder.read_config(out))
    results = read_cells(out)
    found = tables(results)
    results.drop(columns="history").to_parquet(out / "results.parquet")
    for name, table in found.items():
        run_folder.write_text(out / f"{name}.csv", table.to_csv(index=False))
    run_folder.write_json(out / "metrics.json", {name: t.to_dict(orient="records") for name, t in found.items()})
    compare_report(out, config, results, found)
    return found


def tables(results: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return `summary` (means and intervals), `differences` (quantum against each) and `claims`."""
    return {"summary": summary(results), "differences": differences(results), "claims": claims(results)}


def read_cells(out: Path) -> pd.DataFrame:
    """Return one row a finished cell; metrics of the common test by their names, of the paper's test as `paper_*`."""
    rows = [_row(json.loads(path.read_text())) for path in sorted((out / "cells").glob("*.json"))]
    return pd.DataFrame(rows)


def _row(cell: dict[str, Any]) -> dict[str, Any]:
    row = {k: cell[k] for k in ("name", "n_train", "seed", "seconds")}
    row |= {"trainable": cell.get("trainable"), "best_epoch": cell.get("best_epoch"), "history": cell.get("history")}
    row |= dict(cell["common"])
    row |= {f"paper_{k}": v for k, v in cell["paper"].items()}
    return row | {f"last_{k}": v for k, v in cell.get("last", {}).items()}
