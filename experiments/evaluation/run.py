"""Evaluate a trained run on labelled cells, with baselines; write scores, tables and a report."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from experiments import run_folder
from experiments.evaluation import embedding
from experiments.evaluation.prepare import prepare
from experiments.evaluation.reference import TASKS, Annotation
from experiments.evaluation.report import OURS, evaluation_report, task_tables, type_table
from experiments.report.bits import bits_section
from experiments.report.explorer import some_cells
from samplers.errors import InputError, nearest


def evaluate_run(
    run: str | Path,
    data: str | Path,
    out: str | Path,
    columns: Annotation,
    *,
    tasks: Sequence[str] = TASKS,
    pairs: Sequence[Sequence[str]] = (),
    against: Sequence[str] = ("pca",),
    representation: str | None = None,
    max_cells: int = 10_000,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Score the embedding of a run and write metrics.json, tables and report.html; parameters as `qbmvae evaluate`.

    Parameters
    ----------
    run, data, out
        Run folder, labelled cells, and the folder to make.
    columns
        Where cells say what they are: types at least, the run's batches by default, "none" for none; the run's layer.
    tasks
        Which scores to compute.
    pairs
        Types that are hard to tell apart.
    against
        Models that are fitted on the same cells and scored too.
    representation
        What of the model is scored; its default by default.
    max_cells
        Score a stratified subsample above this size.
    seed
        Of folds, classifiers and baselines.
    say
        Takes a line of progress.

    Returns
    -------
    dict
        What metrics.json holds: the run's scores by task, "baselines" with the same of each, "ceilings", "data".

    Raises
    ------
    InputError
        For an unknown task, model or column, or batches that are one.
    """
    from experiments.data.datasets import read_cells, require_key
    from experiments.methods.base import Task
    from experiments.methods.registry import METHODS, fit

    for task in tasks:
        if task not in TASKS:
            raise InputError(f"there is no task {task!r}{nearest(task, TASKS)}")
    for name in against:
        if name not in METHODS:
            raise InputError(f"there is no model {name!r}{nearest(name, METHODS)}")
    config = run_folder.open_run(run)
    setup = config["setup"]
    batch_key = {None: setup.get("batch_key"), "none": None}.get(columns.batch_key, columns.batch_key)
    columns = replace(columns, batch_key=batch_key, layer=setup.get("layer"))
    adata = read_cells(data)
    if columns.label_key is None:
        raise InputError("columns: name the obs column of types, label_key")
    require_key(adata, columns.label_key)
    if batch_key is not None:
        require_key(adata, batch_key)
        names = adata.obs[batch_key].dropna().unique()
        if len(names) < 2:
            raise InputError(
                f"obs[{batch_key!r}] holds one batch only ({', '.join(map(str, names))}): integration compares two or "
                "more; --batch-key none scores the rest"
            )
    model = run_folder.load_model(run)
    # the whole file is embedded first: it must fit the model before anything is written
    coordinates = model.get_latent_representation(adata, representation=representation)
    path = run_folder.fresh_folder(out)
    with run_folder.undo_on_error(path, keep_if=lambda: False):
        stages = 1 + 2 * len(against) + 2
        counted = itertools.count(1)
        remaining = run_folder.Remaining(stages, done=0)

        def begin(what: str) -> None:
            k = next(counted)
            say(f"[{k}/{stages}] {what}{remaining.after(k - 1)}")

        begin("preparing the cells")
        prepared = prepare(
            adata, columns, n_top_genes=config["n_top_genes"], max_cells=max_cells, tasks=tasks, seed=seed
        )
        rows, found = prepared.rows, prepared.reference
        scored = prepared.kept[rows]
        budget = Task(
            prepared.adata, batch_key, columns.label_key, columns.layer, max_epochs=config["status"].get("epochs", 100),
            batch_size=config["train"].get("batch_size", 128), n_hidden=config["model"].get("n_hidden", 128),
            n_layers=config["model"].get("n_layers", 2), seed=seed,
        )  # fmt: skip
        embeddings = {OURS: coordinates[scored]}
        for name in against:
            begin(f"fitting {name}")
            embeddings[name] = fit(name, budget).embed(None)[rows]
        results = {}
        for name, x in embeddings.items():
            begin(f"scoring {name}")
            results[name] = embedding.score(x, found, tasks, pairs=pairs, seed=seed)
        seen = _trained_on(run) & set(adata.obs_names[scored].astype(str))
        metrics = {
            **results.pop(OURS),
            "baselines": results,
            "ceilings": prepared.ceilings,
            "data": {
                "file": str(Path(data).resolve()),
                "cells": adata.n_obs,
                "scored_cells": len(rows),
                "encoder_saw_share": len(seen) / len(rows),
                "encoder_saw_labels": bool(config["train"].get("label_weight")),
            },
            "run": str(Path(run).resolve()),
            "representation": representation,
            "versions": run_folder.versions(),
        }
        metrics = run_folder.plain(metrics)
        begin("writing tables and the report")
        write_tables(path, metrics)
        shown = adata[scored[some_cells(len(scored))]]
        more = bits_section(model, shown, shown.obs[columns.label_key].astype(str).to_numpy())
        run_folder.write_text(
            path / "report.html", evaluation_report(str(run), metrics, embeddings, prepared.cells, found, columns, more)
        )
        # last: whoever finds it finds the rest
        run_folder.write_json(path / run_folder.METRICS, metrics)
    return metrics


def _trained_on(run: str | Path) -> set[str]:
    return set(pd.read_parquet(Path(run) / run_folder.EMBEDDING, columns=[]).index.astype(str))


def write_tables(path: Path, metrics: dict[str, Any]) -> None:
    """Write one .csv a task, and one of the types' scores."""
    for task, frame in task_tables(metrics).items():
        run_folder.write_table(path / f"{task}.csv", frame)
    if "classification" in metrics:
        run_folder.write_table(path / "types.csv", type_table(metrics["classification"]))
