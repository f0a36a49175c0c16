"""Judge a trained run on labelled cells, baselines beside it, and write what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments import run_folder
from experiments.evaluation import embedding
from experiments.report import plots
from experiments.report.page import colourings, figure, page, some_cells, table
from experiments.tasks.integration import BATCH, BESIDE, BIO
from samplers.errors import InputError, nearest

if TYPE_CHECKING:
    from anndata import AnnData

OURS = "QBM-VAE"


def judge_run(
    run: str | Path,
    data: str | Path,
    out: str | Path,
    label_key: str,
    *,
    batch_key: str | None = None,
    time_keys: Sequence[str] = (),
    root: str | None = None,
    branch_key: str | None = None,
    tasks: Sequence[str] = embedding.TASKS,
    pairs: Sequence[Sequence[str]] = (),
    against: Sequence[str] = ("pca",),
    representation: str = "expression",
    max_cells: int = 10_000,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Score the embedding of a run and write metrics.json, tables and report.html; parameters as `qbmvae evaluate`.

    Returns
    -------
    dict
        What metrics.json holds: the run's scores by task, "baselines" with the same of each, "ceilings", "data".
    """
    from experiments.data.datasets import read_h5ad, require_key, select_hvgs
    from experiments.methods.base import Task
    from experiments.methods.registry import METHODS, fit

    for task in tasks:
        if task not in embedding.TASKS:
            raise InputError(f"there is no task {task!r}{nearest(task, embedding.TASKS)}")
    for name in against:
        if name not in METHODS:
            raise InputError(f"there is no model {name!r}{nearest(name, METHODS)}")
    config = run_folder.open_run(run)
    setup = config["setup"]
    batch_key = {None: setup.get("batch_key"), "none": None}.get(batch_key, batch_key)
    adata = read_h5ad(data)
    require_key(adata, label_key)
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
    rows = embedding.usable_cells(adata, [label_key, batch_key], max_cells, seed)
    path = run_folder.fresh_folder(out)
    with run_folder.undo_on_error(path, keep_if=lambda: False):
        genes = adata if config["n_top_genes"] is None else select_hvgs(
            adata, config["n_top_genes"], batch_key, setup.get("layer")
        )  # fmt: skip
        # the root of uns is a row of the whole file
        start = root if root is not None or "iroot" not in adata.uns else adata.obs_names[int(adata.uns["iroot"])]
        cells = genes[rows].copy()
        if root is None and start is not None and start not in cells.obs_names:
            start = None
        cells.uns.pop("iroot", None)
        say(f"reference of {len(rows)} cells")
        found = embedding.reference(
            cells, batch_key, label_key, setup.get("layer"), time_keys, start, branch_key, tasks
        )
        budget = Task(
            genes, batch_key, label_key, setup.get("layer"), max_epochs=config["status"].get("epochs", 100),
            batch_size=config["train"].get("batch_size", 128), n_hidden=config["model"].get("n_hidden", 128),
            n_layers=config["model"].get("n_layers", 2), seed=seed,
        )  # fmt: skip
        embeddings = {OURS: coordinates[rows]}
        for name in against:
            say(f"fitting {name}")
            embeddings[name] = fit(name, budget).embed(None)[rows]
        results = {}
        for name, x in embeddings.items():
            say(f"scoring {name}")
            results[name] = embedding.score(x, found, tasks, pairs=pairs, seed=seed)
        seen = _trained_on(run) & set(adata.obs_names[rows].astype(str))
        metrics = {
            **results.pop(OURS),
            "baselines": results,
            "ceilings": embedding.ceilings(cells, found, setup.get("layer"), seed),
            "data": {
                "file": str(Path(data).resolve()),
                "cells": adata.n_obs,
                "scored_cells": len(rows),
                "encoder_saw_share": len(seen) / len(rows),
            },
            "run": str(Path(run).resolve()),
            "representation": representation,
            "versions": run_folder.versions(),
        }
        metrics = run_folder.plain(metrics)
        write_tables(path, metrics)
        run_folder.write_text(
            path / "report.html", _report(str(run), metrics, embeddings, cells, found, label_key, batch_key)
        )
        # last: whoever finds it finds the rest
        run_folder.write_json(path / run_folder.METRICS, metrics)
    return metrics


def _trained_on(run: str | Path) -> set[str]:
    return set(pd.read_parquet(Path(run) / run_folder.EMBEDDING, columns=[]).index.astype(str))


def task_tables(metrics: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Return a table a task: models in rows, scores that are numbers in columns."""
    everyone = {OURS: metrics, **metrics["baselines"]}
    tables = {}
    for task in embedding.TASKS:
        rows = {name: scores[task] for name, scores in everyone.items() if task in scores}
        if rows:
            numbers = {
                name: {k: v for k, v in row.items() if v is None or (isinstance(v, float) and not isinstance(v, bool))}
                for name, row in rows.items()
            }
            tables[task] = pd.DataFrame.from_dict(numbers, orient="index").astype(float)
            tables[task].index.name = "model"
    return tables


def write_tables(path: Path, metrics: dict[str, Any]) -> None:
    """Write one .csv a task, and one of the types' scores."""
    for task, frame in task_tables(metrics).items():
        run_folder.write_table(path / f"{task}.csv", frame)
    if "classification" in metrics:
        run_folder.write_table(path / "types.csv", _types(metrics["classification"]))


def _types(scores: dict[str, Any]) -> pd.DataFrame:
    frame = pd.DataFrame.from_dict(scores["per_class"], orient="index")
    frame.index.name = "type"
    return frame


def _report(
    run: str, metrics: dict[str, Any], embeddings: dict[str, np.ndarray], cells: AnnData, found: Any, label_key: str,
    batch_key: str | None,
) -> str:  # fmt: skip
    shown = some_cells(len(found.pca))
    tables = task_tables(metrics)
    planes = {name: plots.plane(x[shown], seed=0) for name, x in embeddings.items()}
    part = cells[shown]
    colours = colourings(part, [label_key, batch_key])
    if found.times:
        colours["time"] = found.times[0][shown]
    caption = f"UMAP of {len(shown):,} cells"
    sections: list[dict[str, Any]] = [
        {"title": "Embeddings", "figures": figure(plots.scatters(planes, colours), caption)}
    ]
    if "integration" in tables:
        frame = tables["integration"]
        total = frame[["Total", "Bio conservation", "Batch correction", *(b for b in BESIDE if b in frame)]]
        sections.append(
            {
                "title": "Integration",
                "texts": ["scib-metrics; Total = .6 bio conservation + .4 batch correction. The last columns stand beside it."],
                "tables": [table(total), table(frame[[*BIO]], "bio conservation"), table(frame[[*BATCH]], "batch correction")],
            }
        )  # fmt: skip
    for task, text in (
        (
            "scgraph",
            "Agreement of the types' distances with their consensus inside the batches; Weighted is the main score.",
        ),
        (
            "clustering",
            "Leiden on the 15-neighbour graph at resolution 1, and (best) at the resolution with the best NMI.",
        ),
    ):
        if task in tables:
            title = {"scgraph": "scGraph"}.get(task, task.capitalize())
            sections.append({"title": title, "texts": [text], "tables": [table(tables[task])]})
    if "classification" in metrics:
        sections.append(_classification_section(metrics, tables["classification"], embeddings[OURS], found))
    if "trajectory" in metrics:
        truth = (
            "" if metrics["trajectory"]["ground_truth"] else " It was made from these data by PCA, which it favours."
        )
        text = f"Reference: {metrics['trajectory']['reference']}.{truth}"
        rules = dict.fromkeys(tables["trajectory"], "max") | {"unreachable": "min"}
        sections.append({"title": "Trajectory", "texts": [text], "tables": [table(tables["trajectory"], best=rules)]})
    share = metrics["data"]["encoder_saw_share"]
    scored = f"{metrics['data']['scored_cells']:,} of {metrics['data']['cells']:,} cells scored"
    return page(
        f"Evaluation of {Path(run).name}", f"{scored}; the encoder was trained on {share:.0%} of them", sections
    )


def _classification_section(metrics: dict[str, Any], frame: pd.DataFrame, x: np.ndarray, found: Any) -> dict[str, Any]:
    from experiments.tasks.classification import cross_validate

    scores = metrics["classification"]
    texts = [
        f"{scores['classifier']}, five stratified folds; precision, recall and f1 are macro means. The encoder saw "
        f"{metrics['data']['encoder_saw_share']:.0%} of the cells, without their labels."
    ]
    ceiling = metrics["ceilings"].get("classification_f1", {}).get("mean")
    if ceiling is not None:
        texts.append(f"Noise ceiling, the mean F1 of classifiers that see one batch alone: {ceiling:.3f}.")
    for pair, s in scores["close_pairs"].items():
        texts.append(f"{pair}: {s['balanced_accuracy']:.3f} (95 % interval {s['low']:.3f} to {s['high']:.3f}).")
    predicted = cross_validate(x, found.label, "knn")
    image = plots.confusion(found.label, predicted, f"{OURS}, 15 nearest neighbours")
    tables = [table(frame), table(_types(scores), "by type", best=None)]
    return {"title": "Classification", "texts": texts, "tables": tables, "figures": figure(image, "confusion")}
