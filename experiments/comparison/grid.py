"""Run a comparison: one result file a cell of the grid, so that a kill costs at most the cells in progress."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import run_folder
from experiments.comparison.config import Comparison, DataSpec, ModelSpec, load_config
from experiments.comparison.executors import each
from experiments.comparison.report import write_report
from experiments.comparison.results import CONFIG, cell_path, read_result, results_table
from experiments.data.datasets import NAMED, load, select_hvgs
from experiments.evaluation import embedding
from experiments.evaluation.cpu_clock import Clock
from experiments.methods.base import Fitted, Task, quiet
from experiments.methods.registry import METHODS, fit
from experiments.tasks.arrays import stratified_subsample
from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["load_config", "run_cell", "run_grid"]

FITTED_ON_ALL = ("integration", "scgraph", "clustering", "trajectory")


def run_grid(
    comparison: Comparison,
    out: str | Path,
    workers: int = 1,
    say: Callable[[str], None] = print,
    ray: str | None = None,
) -> dict[str, Any]:
    """Run every cell of the grid that has no result yet, then write the table and the report.

    Parameters
    ----------
    comparison
        What to run.
    out
        The folder: new, empty, or of the same comparison.
    workers
        Processes.
    say
        Takes a line of progress.
    ray
        Address of a Ray cluster to run on, see `experiments.comparison.executors.each`; the folder and the data must lie on
        storage that every node sees.

    Returns
    -------
    dict
        "cells" with a result, "ran" now, "failed", and the folder's files.
    """
    out = Path(out).resolve()
    if out.exists() and not (out / CONFIG).is_file():
        run_folder.fresh_folder(out)
    comparison = _with_files(comparison, say)
    grid = comparison.cells()
    out.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(out / CONFIG, asdict(comparison))
    run_folder.write_json(out / "versions.json", run_folder.versions())
    missing = [cell for cell in grid if read_result(out, comparison, *cell) is None]
    say(f"{len(grid)} cells, {len(grid) - len(missing)} done before")
    failed = 0
    calls = [(comparison, data, model, seed, out) for data, model, seed in missing]
    for done, (data, model, seed, error) in enumerate(each(run_cell, calls, workers, ray), start=1):
        failed += error is not None
        say(f"[{done}/{len(missing)}] {data}, {model}, seed {seed}: {error or 'done'}")
    run_folder.write_table(out / "results.parquet", results_table(out, comparison))
    write_report(out, out / "report.html")
    return {"cells": len(grid) - failed, "ran": len(missing) - failed, "failed": failed, "out": str(out)}


def _with_files(comparison: Comparison, say: Callable[[str], None]) -> Comparison:
    from dataclasses import replace

    kept = []
    for data in comparison.datasets:
        there = data.source in NAMED or (Path(comparison.data_root) / data.source).is_file()
        if there:
            kept.append(data)
        elif data.optional:
            say(f"{data.name} is left out: no file {data.source} ({data.note or 'optional'})")
        else:
            raise InputError(f"data set {data.name!r}: there is no file {Path(comparison.data_root) / data.source}")
    if not kept:
        raise InputError("none of the comparison's data sets is there: name their folder with --data-root")
    return replace(comparison, datasets=tuple(kept))


def run_cell(
    comparison: Comparison, data: DataSpec, model: ModelSpec, seed: int, out: Path
) -> tuple[str, str, int, str | None]:
    """Fit and score one model on one data set with one seed, and write its result file last.

    A failure is written too (and tried again next time), so that one model cannot stop a grid.
    """
    path = cell_path(out, data.name, model.name, seed)
    result: dict[str, Any] = {
        "dataset": data.name,
        "model": model.name,
        "seed": seed,
        "hash": comparison.cell_hash(data, model, seed),
    }
    error = None
    try:
        # scvi-tools logs to stdout, which belongs to the results
        with quiet():
            scores, arrays = score_cell(comparison, data, model, seed)
        result |= scores
        run_folder.write_atomically(path.with_suffix(".npz"), lambda p: np.savez_compressed(p, **arrays))
    except MemoryError:
        raise
    except Exception as failure:  # noqa: BLE001 - it may be any library's
        error = f"failed: {type(failure).__name__}: {' '.join(str(failure).split())[:300]}"
        result |= {"error": error, "traceback": traceback.format_exc()}
    run_folder.write_json(path, result)
    return data.name, model.name, seed, error


@lru_cache(maxsize=2)
def prepared(
    data: DataSpec, data_root: str, tasks: tuple[str, ...], max_cells: int
) -> tuple[AnnData, np.ndarray, embedding.Reference, dict[str, Any]]:
    """Return a data set's cells, the rows that are scored, what they are judged against, and the noise ceilings."""
    import scanpy as sc

    adata = load(data.source, data_root)
    adata.obs_names = adata.obs_names.astype(str)
    start = data.root
    if start is None and "iroot" in adata.uns:
        start = str(adata.obs_names[int(adata.uns["iroot"])])
    if data.n_cells is not None:
        keys = [k for k in (data.batch_key, data.label_key) if k is not None]
        strata = adata.obs[keys].astype(str).agg("\x00".join, axis=1) if keys else np.zeros(adata.n_obs)
        adata = adata[stratified_subsample(strata, data.n_cells)].copy()
    if data.n_top_genes is not None:
        adata = select_hvgs(adata, data.n_top_genes, data.batch_key, data.layer)
    sc.pp.filter_genes(adata, min_counts=1)
    sc.pp.filter_cells(adata, min_counts=1)
    # a cell without a batch cannot be integrated; one without a type can
    if data.batch_key is not None:
        adata = adata[adata.obs[data.batch_key].notna()].copy()
    adata.uns.pop("iroot", None)
    rows = embedding.usable_cells(adata, [data.label_key, data.batch_key], max_cells)
    cells = adata[rows].copy()
    if start is not None and start not in cells.obs_names:
        start = None
    found = embedding.reference(
        cells, data.batch_key, data.label_key, data.layer, data.time_keys, start, data.branch_key, tasks
    )
    return adata, rows, found, embedding.ceilings(cells, found, data.layer)


def score_cell(
    comparison: Comparison, data: DataSpec, model: ModelSpec, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the scores of one cell of the grid, and its embedding keyed by obs_names."""
    from experiments.evaluation.held_out import held_out_scores

    clock = Clock()
    tasks = comparison.cell_tasks(data, model, seed)
    on_all = tuple(t for t in tasks if t in FITTED_ON_ALL)
    with clock("preparation"):
        # of the data set's tasks, not of this cell's: prepared once for all models
        needed = tuple(t for t in data.tasks or comparison.tasks if t in FITTED_ON_ALL)
        adata, rows, found, ceilings = prepared(data, comparison.data_root, needed, comparison.max_cells)
    task = _task(comparison, data, adata, seed)
    with clock("fit"):
        fitted = fit(model.method, task, **model.options)
    x = fitted.embed(None)[rows]
    scores: dict[str, Any] = embedding.score(x, found, on_all, seed=seed, clock=clock) if on_all else {}
    scores |= held_out_scores(model, task, tasks, data, clock)
    by_epoch = {}
    if found.label is not None and found.batch is not None and "integration" in tasks:
        from experiments.tasks.integration import integration

        with clock("snapshots"):
            for epoch, snapshot in sorted(fitted.by_epoch.items()):
                by_epoch[epoch] = integration(snapshot[rows], found.batch, found.label, found.pca, beside=False)
    result = {
        "scores": scores,
        "by_epoch": by_epoch,
        "ceilings": ceilings,
        "seconds": fitted.seconds,
        "cpu_seconds": fitted.cpu_seconds,
        "costs": clock.seconds,
        "cells": adata.n_obs,
        "genes": adata.n_vars,
        "dimensions": int(x.shape[1]),
        "history": _history(fitted),
        "uses_labels": METHODS[model.method].uses_labels,
    }
    arrays: dict[str, Any] = {
        "obs_names": np.asarray(adata.obs_names, dtype=str)[rows],
        "embedding": x.astype(np.float32),
    }
    arrays |= {k: v.astype(str) for k, v in (("label", found.label), ("batch", found.batch)) if v is not None}
    if found.times:
        arrays["time"] = found.times[0]
    return result, arrays


def _task(comparison: Comparison, data: DataSpec, adata: AnnData, seed: int) -> Task:
    return Task(
        adata,
        data.batch_key,
        data.label_key,
        data.layer,
        max_epochs=data.max_epochs or comparison.max_epochs,
        batch_size=comparison.batch_size,
        n_hidden=comparison.n_hidden,
        n_layers=comparison.n_layers,
        seed=seed,
        snapshots=comparison.snapshots if seed == comparison.seeds[0] else (),
    )


def _history(fitted: Fitted) -> dict[str, dict[str, float]]:
    kept = [
        c for c in fitted.history if c.startswith(("elbo", "reconstruction", "kl_local", "train_loss", "validation"))
    ]
    return {c: {str(k): float(v) for k, v in fitted.history[c].dropna().items()} for c in kept}
