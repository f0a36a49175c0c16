"""Figures of the comparison's report: embeddings to explore, scores by epoch, training curves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.comparison.config import Comparison
from experiments.comparison.results import CELLS
from experiments.methods.registry import METHODS
from experiments.report import plots
from experiments.report.explorer import explorer, some_cells
from experiments.report.page import figure


def embedding_sections(done: list[dict[str, Any]], ours: str, n_models: int = 4) -> list[dict[str, Any]]:
    """Return embeddings of each data set's first seed: ours and the best others in Total.

    Parameters
    ----------
    done
        Results, see `report.read_fits`.
    ours
        The model that is always shown.
    n_models
        How many models of a data set.
    """
    views = []
    for dataset in dict.fromkeys(f["dataset"] for f in done):
        first = {f["model"]: f for f in reversed([f for f in done if f["dataset"] == dataset])}
        total = {m: f["scores"].get("integration", {}).get("Total") or -1.0 for m, f in first.items()}
        order = sorted(first, key=lambda m: (m != ours, -total[m]))[:n_models]
        paths = {m: first[m]["path"].with_suffix(".npz") for m in order}
        paths = {m: p for m, p in paths.items() if p.is_file()}
        if paths:
            views.append(_view(dataset, paths))
    if not views:
        return []
    text = "First seed; a panel for ours and for the models with the best Total."
    return [{"title": "Embeddings", "texts": [text], "explorer": views}]


def _view(dataset: str, paths: dict[str, Path]) -> dict[str, Any]:
    planes: dict[str, np.ndarray] = {}
    obs, rows = pd.DataFrame(), np.arange(0)
    for model, path in paths.items():
        with np.load(path) as stored:
            if not planes:
                rows = some_cells(len(stored["obs_names"]), 1500 if len(paths) > 2 else 2500)
                obs = pd.DataFrame(
                    {{"label": "type"}.get(k, k): stored[k][rows] for k in ("label", "batch", "time") if k in stored},
                    index=stored["obs_names"][rows],
                )
            planes[model] = plots.plane(stored["embedding"][rows], seed=0)
    first, genes = list(obs.columns), None
    described = next(iter(paths.values())).parent / CELLS
    if described.is_file():
        table = pd.read_parquet(described).reindex(obs.index)
        is_gene = table.columns.str.startswith("gene: ")
        genes = table.loc[:, is_gene].rename(columns=lambda c: c.removeprefix("gene: "))
        obs = obs.join(table.loc[:, [c for c in table.columns[~is_gene] if c not in obs]])
    return explorer(planes, obs, genes, first, f"{dataset}: UMAP of {len(rows):,} cells")


def epoch_section(results: pd.DataFrame, comparison: Comparison) -> list[dict[str, Any]]:
    """Return the Total by epoch, where snapshots were taken."""
    early = results[(results.epoch >= 0) & (results.metric == "Total")]
    figures = []
    for dataset, part in early.groupby("dataset"):
        series = {m: dict(zip(g.epoch, g.value, strict=True)) for m, g in part.sort_values("epoch").groupby("model")}
        last = results[(results.epoch < 0) & (results.metric == "Total") & (results.dataset == dataset)]
        for model, points in series.items():
            # the end of the training is no snapshot; early stopping and longer budgets have ends of their own
            end = _last_epoch(comparison, dataset, model)
            final = last[(last.model == model) & (last.seed == comparison.seeds[0])].value
            if end is not None and len(final):
                points[end] = float(final.iloc[0])
        caption = f"{dataset}, first seed"
        figures += figure(plots.lines(series, "epoch", "scib-metrics Total", str(dataset)), caption)
    return [{"title": "Scores by epoch", "figures": figures}] if figures else []


def _last_epoch(comparison: Comparison, dataset: Any, model: Any) -> int | None:
    """Return the epochs of a model's budget on a data set; None where it has a budget of its own."""
    data = next(d for d in comparison.datasets if d.name == dataset)
    spec = next(m for m in comparison.models if m.name == model)
    if "max_epochs" in {**METHODS[spec.method].options, **spec.options}:
        return None
    return data.max_epochs or comparison.max_epochs


def curve_sections(done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the held-out ELBO of every model by epoch, first seed."""
    figures = []
    for dataset in dict.fromkeys(f["dataset"] for f in done):
        series = {}
        for f in done:
            points = f["history"].get("elbo_validation", {})
            if f["dataset"] == dataset and f["model"] not in series and len(points) > 1:
                series[f["model"]] = {float(k): v for k, v in points.items()}
        if series:
            image = plots.lines(series, "epoch", "negative ELBO, held-out cells", dataset)
            figures += figure(image, f"{dataset}, first seed")
    text = "Likelihoods differ between some models (AUTOZI, sysVI, the published preset): compare curves of equal likelihood."
    return [{"title": "Training curves", "texts": [text], "figures": figures}] if figures else []
