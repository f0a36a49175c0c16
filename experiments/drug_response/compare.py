"""The comparison: runs the cells that are not there yet, then writes tables, claims and report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import run_folder
from experiments.comparison.grid import Entry, read_all, require_all
from experiments.config import build
from experiments.drug_response import cells
from experiments.drug_response.claims import claims, differences, mechanisms, summary
from experiments.drug_response.config import CompareConfig


def compare(
    config: CompareConfig,
    out: Path,
    say: Callable[[str], None] = lambda line: None,
    workers: int = 1,
    ray: str | None = None,
) -> dict[str, pd.DataFrame]:
    """Run the comparison in a folder; called again it goes on where it stopped.

    Parameters
    ----------
    config
        What to compare.
    out
        The run folder: `config.yaml`, `versions.json`, `fits/*.json`, `results.parquet`, `summary.csv`,
        `differences.csv`, `mechanisms.csv`, `claims.csv`, `metrics.json`, `report.html`.
    say
        Takes a line of progress.
    workers, ray
        Where, see `experiments.comparison.executors.each`.

    Returns
    -------
    The tables of `tables`.

    Raises
    ------
    InputError
        Where the tables are wrong, or the folder holds another comparison.
    RuntimeError
        Where a training failed; the others are finished first, and the same command tries the failed ones again.
    """
    entries = [Entry(cell.key, (config, cell)) for cell in cells.grid(config)]
    done = cells.run_grid(config, out, entries, train, say=say, workers=workers, ray=ray)
    found = write_tables(out) if done else {}
    require_all(out, entries)
    return found


def train(path: Path, config: CompareConfig, cell: cells.Cell) -> dict[str, Any]:
    """Compute one entry of the grid; it has no files besides its result at `path`.

    Parameters
    ----------
    path
        The result file.
    config, cell
        The comparison, and what is trained.
    """
    return cells.run_cell(config, cells.shared_data(config.tables), cell)


def write_tables(out: Path) -> dict[str, pd.DataFrame]:
    """Write tables and report of the cells that are there, and return the tables."""
    from experiments.drug_response.report import compare_report

    config = build(CompareConfig, run_folder.read_config(out))
    # files come by name: the first split of the configuration comes first in every table, and carries the claims
    results = read_cells(out).sort_values("split", key=lambda c: c.map(config.splits.index), kind="stable")
    found = tables(results)
    results.drop(columns=["history", "mechanisms"]).to_parquet(out / "results.parquet")
    for name, table in found.items():
        run_folder.write_text(out / f"{name}.csv", table.to_csv(index=False))
    run_folder.write_json(out / "metrics.json", {name: t.to_dict(orient="records") for name, t in found.items()})
    compare_report(out, config, results, found)
    return found


def tables(results: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return `summary` (means and intervals), `differences` (quantum against each), `mechanisms` and `claims`."""
    return {
        "summary": summary(results),
        "differences": differences(results),
        "mechanisms": mechanisms(results),
        "claims": claims(results),
    }


def lines(found: dict[str, pd.DataFrame]) -> str:
    """Return what a comparison found, to be printed: within drugs first, then the paper's claims in a line each."""
    from experiments.drug_response.report import compact

    text = []
    for (split, n), part in compact(found["summary"]).groupby(["split", "n_train"], sort=False):
        columns = {"pearson_within_drug": "Pearson within drugs", "spearman_within_drug": "Spearman within drugs"}
        shown = part[["model", *columns, "MSE x 1000", "seeds"]].rename(columns=columns)
        text.append(f"{n:,} training pairs, {split} split\n{shown.astype(str).to_string(index=False)}\n")
    for row in found["claims"].to_dict("records"):
        text.append(
            f"paper: {row['claim']}: {row['paper']}. Measured: {row['measured']:.3g}. {row['verdict'].capitalize()}."
        )
    return "\n".join(text)


def read_cells(out: Path) -> pd.DataFrame:
    """Return one row a finished cell; metrics of the common test by their names, of the paper's test as `paper_*`."""
    return pd.DataFrame([_row(result) for _, result in read_all(out) if "error" not in result])


def _row(cell: dict[str, Any]) -> dict[str, Any]:
    row = {k: cell[k] for k in ("name", "n_train", "seed", "seconds")}
    row |= {"split": cell.get("split", "random"), "mechanisms": cell.get("mechanisms")}
    row |= {"trainable": cell.get("trainable"), "best_epoch": cell.get("best_epoch"), "history": cell.get("history")}
    row |= dict(cell["common"])
    row |= {f"paper_{k}": v for k, v in cell["paper"].items()}
    return row | {f"last_{k}": v for k, v in cell.get("last", {}).items()}
