"""The report of a comparison: where the claim holds and where it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from experiments import run_folder
from experiments.comparison import report_sections as details
from experiments.comparison import statistics
from experiments.comparison.results import CONFIG, results_table
from experiments.config import build
from experiments.methods.registry import METHODS
from experiments.report import plots
from experiments.report.page import figure, page, some_cells, table
from samplers.errors import InputError

# task, score, name, whether more is better
HEADLINES = (
    ("integration", "Total", "integration, Total", True),
    ("integration", "Bio conservation", "bio conservation", True),
    ("integration", "Batch correction", "batch correction", True),
    ("integration", "PCR comparison within type", "PCR comparison within type", True),
    ("scgraph", "Weighted", "scGraph", True),
    ("clustering", "ARI", "Leiden ARI", True),
    ("classification", "f1", "macro-F1, held-out cells", True),
    ("held-out-batches", "f1", "macro-F1, held-out batches", True),
    ("trajectory", "score", "trajectory conservation", True),
    ("trajectory", "unreachable", "unreachable cells", False),
    ("trajectory", "regression_within", "time regression, R2", True),
    ("trajectory", "regression_across", "time regression across batches, R2", True),
    ("generation", "elbo", "held-out ELBO, nats", True),
    ("generation", "two_sample_knn", "generated vs real, kNN accuracy", False),
    ("generation", "marker_overlap", "marker recovery", True),
    ("novelty", "auroc", "novel type, AUROC", True),
)


def is_comparison(folder: Path) -> bool:
    """Return whether a folder is a comparison's."""
    return (folder / CONFIG).is_file()


def read_cells(folder: Path) -> list[dict[str, Any]]:
    """Return every readable result file of a comparison, failures included."""
    cells = []
    for path in sorted((folder / "cells").glob("*/*.json")):
        try:
            cells.append({**json.loads(path.read_text(encoding="utf-8")), "path": path})
        except ValueError:
            continue
    return cells


def write_report(folder: str | Path, target: str | Path) -> None:
    """Write the HTML report of a comparison from its result files, also of an unfinished one."""
    from experiments.comparison.config import Comparison

    folder = Path(folder)
    comparison = build(Comparison, run_folder.read_json(folder / CONFIG), str(folder / CONFIG))
    datasets, models = comparison.datasets, comparison.models
    results = results_table(folder, comparison)
    wanted = {(d.name, m.name, s): comparison.cell_hash(d, m, s) for d, m, s in comparison.cells()}
    cells = [c for c in read_cells(folder) if wanted.get((c["dataset"], c["model"], c["seed"])) == c["hash"]]
    done = [c for c in cells if "error" not in c]
    if not done:
        raise InputError(f"{folder} holds no result yet: run `qbmvae compare` first")
    ablations = {m.name for m in models if METHODS[m.method].ablation}
    sections = [
        verdict_section(results, comparison.ours, ablations),
        *score_sections(results, comparison.ours),
        *details.pair_section(results),
        *details.rare_section(results),
        *cost_sections(results, comparison),
        *embedding_sections(done, comparison.ours),
        *curve_sections(done),
        *details.ceiling_section(done),
        *details.control_section(results),
        *details.part_section(done),
    ]
    failed = [c for c in cells if "error" in c]
    if failed:
        frame = pd.DataFrame(
            [{"data": c["dataset"], "model": c["model"], "seed": c["seed"], "why": c["error"]} for c in failed]
        )
        sections.append({"title": "Failures", "tables": [table(frame.set_index("data"), best=None)]})
    described = run_folder.plain(
        {"versions": run_folder.read_json(folder / "versions.json"), **run_folder.read_json(folder / CONFIG)}
    )
    sections.append({"title": "Settings", "details_title": "versions, data sets, models, budget",
                     "details": yaml.safe_dump(described, sort_keys=False)})  # fmt: skip
    subtitle = (
        f"{len(done)} of {len(wanted)} cells of the grid; {len(datasets)} data sets, {len(models)} models, "
        f"seeds {', '.join(map(str, comparison.seeds))}; {comparison.max_epochs} epochs, "
        f"{comparison.n_layers} layers of {comparison.n_hidden}, batch size {comparison.batch_size}"
    )
    run_folder.write_text(target, page(comparison.name, subtitle, sections))


def label_free(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of models that see no labels."""
    return results[~results.uses_labels.astype(bool)]


def verdict_section(results: pd.DataFrame, ours: str, ablations: set[str]) -> dict[str, Any]:
    """Return, for every headline score, our model beside the best other and what the paired interval says."""
    rows = []
    for task, metric, name, more in HEADLINES:
        grid = statistics.score_grid(label_free(results), task, metric)
        if ours not in grid or len(grid.columns) < 2:
            continue
        signed = grid if more else -grid
        differences = statistics.paired(signed[[m for m in signed if m not in ablations or m == ours]], ours)
        whole = differences.xs("mean", level="dataset") if len(differences) else differences
        # a model that cannot run everywhere is compared where it can, but is the best other only with the most sets
        sets = differences.drop("mean", level="dataset").groupby(level="model").size() if len(whole) else whole
        rivals = whole[sets.reindex(whole.index) == sets.max()] if len(whole) else whole
        if not len(rivals):
            continue
        best = str(rivals.difference.idxmin())
        d = whole.loc[best]
        both = grid[[ours, best]].dropna().groupby(level="dataset").mean().mean()
        rows.append(
            {"score": name, "ours": both[ours], "best other": best, "its score": both[best], "difference": d.difference,
             "low": d.low, "high": d.high, "data sets": int(sets[best]),
             "claim": statistics.verdict(d.difference, d.low, d.high)}
        )  # fmt: skip
    texts = [
        "Ours against the model with the best mean over the data sets. The difference is paired by seed and data set, "
        "positive where ours is better; low and high bound 95 %. The claim holds where the interval is above zero, "
        "fails where it is below, and is open where it spans zero. Models that see the labels and variants of our own are "
        "left out here."
    ]
    frame = pd.DataFrame(rows).set_index("score") if rows else pd.DataFrame()
    return {"title": "Where the claim holds", "texts": texts, "tables": [table(frame, best=None)] if rows else []}


def score_sections(results: pd.DataFrame, ours: str) -> list[dict[str, Any]]:
    """Return a section for each headline score: means and deviations, paired differences, ranks."""
    sections = []
    for task, metric, name, more in HEADLINES:
        grid = statistics.score_grid(results, task, metric)
        if grid.empty:
            continue
        mean, deviation = statistics.mean_table(grid)
        shown = mean.copy().astype(object)
        for model in mean.index:
            for column in deviation.columns:
                if np.isfinite(deviation.loc[model, column]) and deviation.loc[model, column] > 0:
                    shown.loc[model, column] = f"{mean.loc[model, column]:.3f} ± {deviation.loc[model, column]:.3f}"
        labels = set(results[results.uses_labels.astype(bool)].model)
        shown.index = [f"{m} (sees labels)" if m in labels else m for m in shown.index]
        shown.index.name = "model"
        section: dict[str, Any] = {
            "title": name[0].upper() + name[1:],
            "tables": [table(shown, best="max" if more else "min")],
        }
        if ours in grid and len(grid.columns) > 1:
            rows = statistics.paired(grid if more else -grid, ours)
            whole = rows.xs("mean", level="dataset")
            bars = [(f"{ours} - {m}", r.difference, r.low, r.high) for m, r in whole.iterrows() if np.isfinite(r.low)]
            if bars:
                text = f"mean over data sets, 95 % interval; right is better for {ours}"
                section["figures"] = figure(plots.intervals(bars, "paired difference"), text)
            per_set = rows.drop("mean", level="dataset").reset_index()
            section |= {"details_title": "differences by data set", "details": per_set.round(4).to_string(index=False)}
        if metric == "Total" and len(mean.columns) > 2:
            ranked = plots.ranks(mean.drop(columns="mean"))
            section["figures"] = section.get("figures", []) + figure(
                ranked, "rank (and score) by data set; mean rank in brackets"
            )
        sections.append(section)
    return sections


def cost_sections(results: pd.DataFrame, comparison: Any) -> list[dict[str, Any]]:
    """Return what each model costs, and the scores by epoch where snapshots were taken."""
    once = results.drop_duplicates(["dataset", "model", "seed"])
    cost = once.pivot_table(index="model", columns="dataset", values="cpu_seconds", aggfunc="mean")
    cost["dimensions"] = once.groupby("model").dimensions.max()
    text = "Processor seconds of one fit on all cells of a data set, mean over seeds, one thread."
    sections = [{"title": "Cost", "texts": [text], "tables": [table(cost, best=None)]}]
    early = results[(results.epoch >= 0) & (results.metric == "Total")]
    if len(early):
        figures = []
        for dataset, part in early.groupby("dataset"):
            series = {
                m: dict(zip(g.epoch, g.value, strict=True)) for m, g in part.sort_values("epoch").groupby("model")
            }
            last = results[(results.epoch < 0) & (results.metric == "Total") & (results.dataset == dataset)]
            for model, points in series.items():
                # the end of the training is no snapshot; early stopping and longer budgets have ends of their own
                end = _last_epoch(comparison, dataset, model)
                final = last[(last.model == model) & (last.seed == comparison.seeds[0])].value
                if end is not None and len(final):
                    points[end] = float(final.iloc[0])
            figures += figure(
                plots.lines(series, "epoch", "scib-metrics Total", str(dataset)), f"{dataset}, first seed"
            )
        sections.append({"title": "Scores by epoch", "figures": figures})
    return sections


def _last_epoch(comparison: Any, dataset: Any, model: Any) -> int | None:
    """Return the epochs of a model's budget on a data set; None where it has a budget of its own."""
    data = next(d for d in comparison.datasets if d.name == dataset)
    spec = next(m for m in comparison.models if m.name == model)
    if "max_epochs" in {**METHODS[spec.method].options, **spec.options}:
        return None
    return data.max_epochs or comparison.max_epochs


def embedding_sections(done: list[dict[str, Any]], ours: str, n_models: int = 4) -> list[dict[str, Any]]:
    """Return UMAPs of the first seed by type and batch: ours and the best others of each data set."""
    figures = []
    for dataset in dict.fromkeys(c["dataset"] for c in done):
        first = {c["model"]: c for c in reversed([c for c in done if c["dataset"] == dataset])}
        total = {m: c["scores"].get("integration", {}).get("Total") or -1.0 for m, c in first.items()}
        order = sorted(first, key=lambda m: (m != ours, -total[m]))[:n_models]
        planes, colours = {}, {}
        for model in order:
            path = first[model]["path"].with_suffix(".npz")
            if not path.is_file():
                continue
            with np.load(path) as stored:
                rows = some_cells(len(stored["obs_names"]), 2500)
                planes[model] = plots.plane(stored["embedding"][rows], seed=0)
                for key in ("label", "batch", "time"):
                    if key in stored:
                        colours[{"label": "type"}.get(key, key)] = stored[key][rows]
        if planes and colours:
            figures += figure(plots.scatters(planes, colours), f"{dataset}: UMAP of {len(rows):,} cells, first seed")
    return [{"title": "Embeddings", "figures": figures}] if figures else []


def curve_sections(done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the held-out ELBO of every model by epoch, first seed."""
    figures = []
    for dataset in dict.fromkeys(c["dataset"] for c in done):
        series = {}
        for c in done:
            points = c["history"].get("elbo_validation", {})
            if c["dataset"] == dataset and c["model"] not in series and len(points) > 1:
                series[c["model"]] = {float(k): v for k, v in points.items()}
        if series:
            figures += figure(
                plots.lines(series, "epoch", "negative ELBO, held-out cells", dataset), f"{dataset}, first seed"
            )
    text = "Likelihoods differ between some models (AUTOZI, sysVI, the published preset): compare curves of equal likelihood."
    return [{"title": "Training curves", "texts": [text], "figures": figures}] if figures else []
