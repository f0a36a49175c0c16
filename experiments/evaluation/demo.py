"""The demo: train QBM-VAE and scVI on data that need no download, print a table, leave a report."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments import run_folder
from experiments.data.datasets import pbmc68k
from experiments.data.synthetic import synthetic
from experiments.evaluation import embedding
from experiments.evaluation.reference import TASKS, Annotation, reference
from experiments.evaluation.report import integration_section
from experiments.methods.base import Fitted, Task
from experiments.methods.registry import fit
from experiments.report import plots
from experiments.report.explorer import explorer, variable_genes
from experiments.report.page import figure, page
from experiments.report.prior import bits_figure, sampler_section
from experiments.report.tables import table
from experiments.report.training import PANELS
from experiments.tasks.metrics import SHORT, Metric
from samplers.errors import InputError
from samplers.files import replacing

MARKER = ".qbmvae-demo"
MODELS = {"QBM-VAE": "qbmvae", "scVI": "scvi", "PCA": "pca"}
INTRODUCTION = {
    "synthetic": "1,500 simulated cells from three batches with strong batch effects and unequal composition: a process "
    "that branches into two fates, and three settled types. Types, batches and time are known exactly.",
    "pbmc68k": "700 real blood cells that scanpy bundles, one batch, their counts recovered exactly. The types come from "
    "purified reference populations and are close to each other.",
}
COSTS = (
    Metric("cost", "fit", "fit, CPU s", "processor seconds of the fit, without compiling", None, decimals=1),
    Metric("cost", "compile", "compiling, CPU s", "processor seconds of the first fit on a machine", None, decimals=1),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="demo-run", help="folder to make; an earlier demo's is replaced")
    parser.add_argument("--max-epochs", type=int, default=60, help="epochs of both models")
    parser.add_argument("--n-cells", type=int, default=1500, help="simulated cells")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    try:
        run_demo(options.out, options.max_epochs, options.n_cells, options.seed)
    except InputError as error:
        print(f"demo: error: {error}", file=sys.stderr)
        return 2
    return 0


def run_demo(out: str | Path, max_epochs: int = 60, n_cells: int = 1500, seed: int = 0) -> dict[str, Any]:
    """Train, score and report; the folder appears when everything is done, and replaces an earlier demo's.

    Parameters
    ----------
    out
        The folder.
    max_epochs
        Epochs of both networks.
    n_cells, seed
        Of the simulated cells; the seed of everything.

    Raises
    ------
    InputError
        Where the folder holds anything but an earlier demo.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARKER).is_file())):
        raise InputError(f"{out} holds something else than a demo: choose another folder with --out")
    with replacing(out, folder=True) as work:
        metrics = _fill(work, max_epochs, n_cells, seed)
        run_folder.write_text(work / MARKER, "made by `python -m experiments.demo`; safe to delete\n")
    print(f"\nreport: {out / 'report.html'}")
    return metrics


def _fill(path: Path, max_epochs: int, n_cells: int, seed: int) -> dict[str, Any]:
    began = time.perf_counter()
    sections: list[dict[str, Any]] = []
    metrics: dict[str, Any] = {}
    summary: dict[str, list[dict[str | Metric, Any]]] = {}
    views = []
    for name, adata, batch_key, time_keys in (
        ("synthetic", synthetic(n_cells, seed=seed), "batch", ("time",)),
        ("pbmc68k", pbmc68k(), None, ()),
    ):
        columns = Annotation(batch_key, "cell_type", None, time_keys, None, "lineage" if time_keys else None)
        tasks = [t for t in TASKS if t != "trajectory" or time_keys]
        task = Task(adata, batch_key, "cell_type", max_epochs=max_epochs, seed=seed)
        found = reference(adata, columns, tasks)
        fitted, scores = {}, {}
        for title, method in MODELS.items():
            print(f"{name}: {title}", file=sys.stderr, flush=True)
            fitted[title] = fit(method, task)
            scores[title] = embedding.score(fitted[title].embed(None), found, tasks, ("logistic",), seed=seed)
            summary.setdefault(name, []).append(_row(name, title, scores[title], fitted[title]))
            table_ = run_folder.embedding_table(adata.obs_names, fitted[title].embed(None))
            run_folder.write_table(path / "embeddings" / f"{name}-{method}.parquet", table_)
        metrics[name] = scores
        views.append(_view(name, adata, found, fitted))
        sections += _sections(name, adata, found, fitted, scores)
        fitted["QBM-VAE"].model.save(path / f"model-{name}")
    seconds = time.perf_counter() - began
    text = (
        f"Both networks: two layers of 128, {max_epochs} epochs, KL warm-up over a quarter of them, negative binomial "
        "likelihood, one seed. Total = .6 bio conservation + .4 batch correction (scib-metrics); with one batch only the "
        "first is defined. One seed and small data show that it works, not which model is better: "
        "`qbmvae compare` with several seeds does that. Kernels are compiled at the first fit on a machine and kept; that "
        "time stands apart from the fit's."
    )
    lead = {
        "texts": [_answer(metrics), text],
        "explorer": [views[0]],
        "cards": {"models trained": 4, "cells": f"{n_cells + 700:,}", "seconds in all": f"{seconds:.0f}"},
        "tables": [table(_summary(rows), rows[0]["data"]) for rows in summary.values()],
    }
    print("\n" + _text_table([row for rows in summary.values() for row in rows]))
    sections.insert(0, {"title": "pbmc68k: embeddings", "texts": [INTRODUCTION["pbmc68k"]], "explorer": [views[1]]})
    html = page("QBM-VAE demo", "a VAE with a Boltzmann-machine prior, next to scVI and PCA", sections, lead)
    run_folder.write_text(path / "report.html", html)
    run_folder.write_json(
        path / run_folder.METRICS,
        {**metrics, "seed": seed, "max_epochs": max_epochs, "versions": run_folder.versions()},
    )
    return metrics


def _row(name: str, title: str, scores: dict[str, Any], fitted: Fitted) -> dict[str | Metric, Any]:
    row: dict[str | Metric, Any] = {"data": name, "model": title}
    row |= {m: scores.get(m.task, {}).get(m.name, float("nan")) for m in SHORT}
    return row | dict(zip(COSTS, (fitted.cpu_seconds, fitted.compile_seconds), strict=True))


def _summary(rows: list[dict[str | Metric, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).drop(columns="data").set_index("model").dropna(axis=1, how="all")


def _text_table(rows: list[dict[str | Metric, Any]]) -> str:
    frame = pd.DataFrame(rows).set_index(["data", "model"])
    frame.columns = [getattr(c, "label", c) for c in frame.columns]
    return frame.round(3).to_string(na_rep="-")


def _answer(metrics: dict[str, Any]) -> str:
    """Return how the model did against the others on both data sets, losses as plainly as gains."""
    return (
        f"On simulated cells of three batches QBM-VAE {_against(metrics['synthetic'], 'Total')}. On 700 real blood cells of "
        f"one batch (pbmc68k), where nothing has to be integrated, it {_against(metrics['pbmc68k'], 'Bio conservation')}."
    )


def _against(scores: dict[str, Any], score: str) -> str:
    value = {title: s["integration"][score] for title, s in scores.items()}
    own = value.pop("QBM-VAE")
    words = {
        place: [f"{title} {v:.3f}" for title, v in value.items() if np.sign(round(own, 3) - round(v, 3)) == sign]
        for place, sign in (("ahead of", 1), ("level with", 0), ("behind", -1))
    }
    found = ", ".join(f"{place} {' and '.join(those)}" for place, those in words.items() if those)
    return f"has a {score if score == 'Total' else score.lower()} of {own:.3f}, {found}"


def _view(name: str, adata: Any, found: Any, fitted: dict[str, Fitted]) -> dict[str, Any]:
    planes = {title: plots.plane(f.embed(None), seed=0) for title, f in fitted.items()}
    obs, first = adata.obs.copy(), ["cell_type", "batch"]
    if found.times:
        obs["time"] = found.times[0]
        first.append("time")
    caption = f"{name}: UMAP of each model's embedding of {adata.n_obs:,} cells"
    return explorer(planes, obs, variable_genes(adata), first, caption)


def _sections(
    name: str, adata: Any, found: Any, fitted: dict[str, Fitted], scores: dict[str, Any]
) -> list[dict[str, Any]]:
    frame = pd.DataFrame.from_dict({t: s["integration"] for t, s in scores.items()}, orient="index")
    frame.index.name = "model"
    ours = fitted["QBM-VAE"]
    sampler = sampler_section(ours.history, _partition(ours.model), ours.model.sampler.name)
    for section in sampler:
        section["title"] = f"{name}: the prior and its sampler"
        section["figures"] += bits_figure(ours.model)
    made = ours.generate(adata.n_obs, 1) if ours.generate is not None else None
    return [
        integration_section(frame) | {"title": f"{name}: integration"},
        {"title": f"{name}: training", "figures": figure(plots.curves(ours.history, PANELS), "QBM-VAE by epoch")},
        *sampler,
        *([_generated(name, adata, made, found.label)] if made is not None else []),
    ]


def _partition(model: Any) -> dict[str, Any]:
    value, error = model.get_log_partition()
    return {"log_partition": value, "log_partition_error": error}


def _generated(name: str, adata: Any, made: Any, label: np.ndarray) -> dict[str, Any]:
    from experiments.tasks.generation import generation, joint_pca

    scores = generation(adata.X, made, label)
    real, drawn = joint_pca(adata.X, made)
    points = plots.plane(np.vstack([real, drawn]), seed=0)
    side = np.repeat(["real", "generated"], [len(real), len(drawn)])
    frame = pd.DataFrame([scores], index=pd.Index(["QBM-VAE"], name="model"))
    text = "As many cells drawn from the prior as there are real ones, against the real ones."
    image = plots.scatters({"PCA of real cells": points}, {"origin": side})
    return {"title": f"{name}: generation", "texts": [text], "tables": [table(frame, task="generation", best=None)],
            "figures": figure(image, "UMAP of real and generated counts")}  # fmt: skip
