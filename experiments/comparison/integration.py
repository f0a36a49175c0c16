"""Compare integration models: fit and score every entry of the grid, then write the table and the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments import run_folder
from experiments.comparison.config import Comparison, DataSpec, ModelSpec
from experiments.comparison.grid import read_entry, require_all, run_entries
from experiments.comparison.report import write_report
from experiments.comparison.results import CELLS, CONFIG, entries, results_table
from experiments.data.datasets import NAMED, load
from experiments.evaluation import embedding
from experiments.evaluation.cpu_clock import Clock
from experiments.evaluation.prepare import Prepared, prepare
from experiments.evaluation.reference import Annotation
from experiments.methods.base import Fitted, Task
from experiments.methods.registry import METHODS, fit
from experiments.report.explorer import variable_genes
from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

FITTED_ON_ALL = ("integration", "scgraph", "clustering", "trajectory")


def run_comparison(
    comparison: Comparison,
    out: str | Path,
    workers: int = 1,
    say: Callable[[str], None] = print,
    ray: str | None = None,
) -> dict[str, Any]:
    """Fit and score every entry that has no result yet, then write the table and the report.

    Parameters
    ----------
    comparison
        What to compare.
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
        "fits" with a result, "ran" now, "failed", and the folder.

    Raises
    ------
    InputError
        For a folder that holds something else, a data set without its file, or input that was wrong for every fit.
    RuntimeError
        Where every fit failed otherwise.
    """
    out = Path(out).resolve()
    if out.exists() and not (out / CONFIG).is_file():
        run_folder.fresh_folder(out)
    comparison = with_files(comparison, say)
    out.mkdir(parents=True, exist_ok=True)
    run_folder.write_json(out / CONFIG, asdict(comparison))
    run_folder.write_json(out / run_folder.VERSIONS, run_folder.versions())
    wanted = entries(comparison)
    summary = run_entries(out, wanted, compute_fit, workers=workers, ray=ray, say=say)
    if not any(read_entry(out, entry) is not None for entry in wanted):
        # nothing to report: say why the first one failed
        require_all(out, wanted)
    run_folder.write_table(out / "results.parquet", results_table(out, comparison))
    write_report(out, out / "report.html")
    return {**summary, "out": str(out)}


def with_files(comparison: Comparison, say: Callable[[str], None]) -> Comparison:
    """Return a comparison without the optional data sets whose file is not there.

    Raises
    ------
    InputError
        Where another set's file is not there, or no set is left.
    """
    kept = []
    for data in comparison.datasets:
        there = data.source in NAMED or (Path(comparison.data_root) / data.source).exists()
        if there:
            kept.append(data)
        elif data.optional:
            say(f"{data.name} is left out: no file {data.source} ({data.note or 'optional'})")
        else:
            raise InputError(f"data set {data.name!r}: there is no file {Path(comparison.data_root) / data.source}")
    if not kept:
        raise InputError("none of the comparison's data sets is there: name their folder with --data-root")
    return replace(comparison, datasets=tuple(kept))


def compute_fit(path: Path, comparison: Comparison, data: DataSpec, model: ModelSpec, seed: int) -> dict[str, Any]:
    """Fit and score one model on one data set with one seed; the embedding goes next to the result file.

    Parameters
    ----------
    path
        The result file.
    comparison, data, model, seed
        The entry.
    """
    # scvi-tools logs to stdout, which belongs to the results
    with run_folder.quiet():
        scores, arrays = score_fit(comparison, data, model, seed)
    run_folder.write_atomically(path.with_suffix(".npz"), lambda p: np.savez_compressed(p, **arrays))
    cells = path.parent / CELLS
    if not cells.is_file():
        ready = prepared(data, comparison.data_root, _needed(comparison, data), comparison.max_cells)
        run_folder.write_table(cells, described_cells(ready.cells, data.layer))
    return {"dataset": data.name, "model": model.name, "seed": seed, **scores}


def described_cells(cells: AnnData, layer: str | None) -> pd.DataFrame:
    """Return annotations and the most variable genes' expression of cells, for the report's colours; genes are "gene: NAME"."""
    genes = variable_genes(cells, layer).astype(np.float32).add_prefix("gene: ")
    obs = cells.obs.copy()
    for column in obs:
        if not pd.api.types.is_numeric_dtype(obs[column]):
            obs[column] = obs[column].astype(object).where(obs[column].notna(), None).astype("string")
    obs.index = genes.index = pd.Index(cells.obs_names.astype(str), name="obs_names")
    return pd.concat([obs, genes], axis=1)


@lru_cache(maxsize=2)
def prepared(data: DataSpec, data_root: str, tasks: tuple[str, ...], max_cells: int) -> Prepared:
    """Return a data set's cells and what embeddings of them are scored against, computed once a process.

    Parameters
    ----------
    data
        The data set.
    data_root
        Folder of its file.
    tasks
        Which tasks will be scored.
    max_cells
        Score a subsample above this size.
    """
    adata = load(data.source, data_root)
    columns = Annotation(data.batch_key, data.label_key, data.layer, data.time_keys, data.root, data.branch_key)
    return prepare(adata, columns, n_top_genes=data.n_top_genes, n_cells=data.n_cells, max_cells=max_cells, tasks=tasks)


def score_fit(
    comparison: Comparison, data: DataSpec, model: ModelSpec, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the scores of one entry of the grid, and its embedding keyed by obs_names.

    Parameters
    ----------
    comparison, data, model, seed
        The entry.
    """
    from experiments.evaluation.held_out import held_out_scores

    clock = Clock()
    tasks = comparison.fit_tasks(data, model, seed)
    on_all = tuple(t for t in tasks if t in FITTED_ON_ALL)
    with clock("preparation"):
        ready = prepared(data, comparison.data_root, _needed(comparison, data), comparison.max_cells)
        adata, rows, found = ready.adata, ready.rows, ready.reference
    task = _task(comparison, data, adata, seed)
    with clock("fit"):
        fitted = fit(model.method, task, **model.options)
    x = fitted.embed(None)[rows]
    scores: dict[str, Any] = embedding.score(x, found, on_all, seed=seed, clock=clock) if on_all else {}
    scores |= held_out_scores(model, task, tasks, data.pairs, data.novel_type, clock)
    by_epoch = {}
    if found.label is not None and found.batch is not None and "integration" in tasks:
        from experiments.tasks.integration import integration

        with clock("snapshots"):
            for epoch, snapshot in sorted(fitted.by_epoch.items()):
                by_epoch[epoch] = integration(snapshot[rows], found.batch, found.label, found.pca, extra=False)
    result = {
        "scores": scores,
        "by_epoch": by_epoch,
        "ceilings": ready.ceilings,
        "seconds": fitted.seconds,
        "cpu_seconds": fitted.cpu_seconds,
        "compile_seconds": fitted.compile_seconds,
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


def _needed(comparison: Comparison, data: DataSpec) -> tuple[str, ...]:
    """Return the data set's tasks, not those of an entry: cells are prepared once for all models."""
    return tuple(t for t in data.tasks or comparison.tasks if t in FITTED_ON_ALL)


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
