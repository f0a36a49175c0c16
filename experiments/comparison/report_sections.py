"""Sections of the comparison's report on what a mean hides: close pairs, rare types, batches, the control, the costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from experiments.report.tables import table
from experiments.report.values import Spread


def _nested(results: pd.DataFrame, task: str, prefix: str, score: str) -> pd.DataFrame:
    """Return the rows of the scores "prefix: name: score", with the name in a column of its own."""
    start, end = f"{prefix}: ", f": {score}"
    rows = results[(results.task == task) & results.metric.str.startswith(start) & results.metric.str.endswith(end)]
    return rows.assign(name=rows.metric.str.slice(len(start), -len(end)))


def pair_section(results: pd.DataFrame) -> list[dict[str, Any]]:
    """Return how well the named pairs of types are told apart: a table for each pair."""
    parts = {s: _nested(results, "classification", "close_pairs", s) for s in ("balanced_accuracy", "low", "high")}
    tables = []
    for (dataset, pair), rows in parts["balanced_accuracy"].groupby(["dataset", "name"], sort=False):
        shown = {}
        for model, values in rows.groupby("model").value:
            low, high = (
                p[(p["dataset"] == dataset) & (p["name"] == pair) & (p["model"] == model)].value.mean()
                for p in (parts["low"], parts["high"])
            )
            shown[model] = {"balanced accuracy": Spread(values.mean(), low, high), "seeds": len(values)}
        tables.append(table(_by_model(shown), f"{dataset}: {pair}", best={"balanced accuracy": "max"}))
    text = (
        "Recall of the two types, averaged, on held-out cells (XGBoost), with a 95 % bootstrap interval over the test cells; "
        "both averaged over seeds. A prediction outside the pair counts as wrong."
    )
    return [{"title": "Close pairs", "texts": [text], "tables": tables}] if tables else []


def _by_model(shown: dict[str, dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame.from_dict(shown, orient="index")
    frame.index.name = "model"
    return frame


def rare_section(results: pd.DataFrame) -> list[dict[str, Any]]:
    """Return recall and F1 of held-out cells of the rare types, and the F1 of the best cluster: a table for each type."""
    recall = _nested(results, "classification", "rare_types", "recall")
    f1 = _nested(results, "classification", "rare_types", "f1")
    cluster = _nested(results, "clustering", "rare_types", "cluster_f1")
    columns = {"recall": recall, "F1": f1, "F1 of the best cluster": cluster}
    every = pd.concat([recall, cluster])[["dataset", "name"]].drop_duplicates()
    tables = []
    for dataset, name in every.itertuples(index=False):
        chosen = {k: p[(p["dataset"] == dataset) & (p["name"] == name)] for k, p in columns.items()}
        models = dict.fromkeys(m for p in chosen.values() for m in p.model)
        shown = {m: {k: Spread.of(p[p.model == m].value) for k, p in chosen.items() if len(p)} for m in models}
        tables.append(table(_by_model(shown), f"{dataset}: {name}", best="max"))
    text = (
        "Types with less than 2 % of the cells; clusters are Leiden's at resolution 1, on the embedding of all cells."
    )
    return [{"title": "Rare types", "texts": [text], "tables": tables}] if tables else []


def control_section(results: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the control: a classifier trained on shuffled labels, next to chance."""
    rows = results[(results.task == "classification") & (results.metric == "shuffled labels: balanced_accuracy")]
    chance = results[(results.task == "classification") & (results.metric == "shuffled labels: chance")]
    if rows.empty:
        return []
    frame = rows.pivot_table(index="model", columns="dataset", values="value", aggfunc=Spread.of)
    frame.loc["chance"] = chance.groupby("dataset").value.mean().reindex(frame.columns)
    text = "Balanced accuracy on held-out cells of 15 nearest neighbours whose training labels were shuffled."
    return [{"title": "Control: shuffled labels", "texts": [text], "tables": [table(frame, best=None)]}]


def ceiling_section(done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the noise ceilings of each data set, and of each batch."""
    names = {"classification_f1": "macro-F1 within batches", "pseudotime_spearman": "pseudotime, split halves"}
    found = {c["dataset"]: c["ceilings"] for c in done}
    rows = {d: {names[k]: v.get("mean") for k, v in scores.items() if k in names} for d, scores in found.items()}
    frame = pd.DataFrame.from_dict(rows, orient="index").astype(float)
    if frame.empty or frame.isna().all(axis=None):
        return []
    frame.index.name = "data set"
    text = (
        "What the data allow: macro-F1 of classifiers that see one batch alone, and the agreement of pseudotimes from two "
        "halves of each cell's counts (stepped up to full depth). Means over batches; not strict bounds."
    )
    by_batch = [
        {"data set": d, "batch": b, "score": names[k], "ceiling": np.nan if v is None else round(v, 3)}
        for d, scores in found.items()
        for k, values in scores.items()
        if k in names
        for b, v in values.items()
        if b != "mean"
    ]
    return [
        {"title": "Noise ceilings", "texts": [text], "tables": [table(frame, best=None)],
         "details_title": "by batch", "details": pd.DataFrame(by_batch).to_string(index=False)}
    ]  # fmt: skip


def cost_section(results: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the processor seconds of one fit and the width of each embedding."""
    once = results.drop_duplicates(["dataset", "model", "seed"])
    cost = once.pivot_table(index="model", columns="dataset", values="cpu_seconds", aggfunc="mean")
    cost["dimensions"] = once.groupby("model").dimensions.max()
    text = "Processor seconds of one fit on all cells of a data set, mean over seeds, one thread."
    return [{"title": "Cost", "texts": [text], "tables": [table(cost, best=None, decimals=1)]}]


def failure_section(fits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries that failed, and why."""
    rows = [
        {"data": f["dataset"], "model": f["model"], "seed": f["seed"], "why": f["error"]} for f in fits if "error" in f
    ]
    if not rows:
        return []
    return [{"title": "Failures", "tables": [table(pd.DataFrame(rows).set_index("data"), best=None)]}]


def part_section(done: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the parts of an entry of the grid cost: fits, refits, scores."""
    frame = pd.DataFrame([{"model": c["model"], **c.get("costs", {})} for c in done])
    means = frame.groupby("model").mean()
    if means.empty or not len(means.columns):
        return []
    means["sum"] = means.sum(axis=1)
    text = (
        "Processor seconds of the parts of a fit and its scores, mean over data sets and seeds; the held-out tasks include "
        "their fits. Preparation and compilations fall on whoever comes first."
    )
    return [{"title": "Where the time goes", "texts": [text], "tables": [table(means, best=None, decimals=1)]}]
