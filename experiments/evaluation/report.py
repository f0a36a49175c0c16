"""The report of an evaluation: what the embedding keeps of the types, batches and times, with other models next to it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.evaluation.bounds import ROWS
from experiments.evaluation.reference import TASKS, Annotation, Reference
from experiments.report import plots
from experiments.report.explorer import explorer, some_cells, variable_genes
from experiments.report.page import figure, page
from experiments.report.tables import table
from experiments.report.values import Spread
from experiments.tasks.metrics import METRICS, SHORT, Group, find, in_group

if TYPE_CHECKING:
    from anndata import AnnData

OURS = "QBM-VAE"
TEXTS = {
    "scgraph": "Agreement of the distances between types with those inside single batches; scGraph is the main score.",
    "clustering": "Leiden clusters of the 15-neighbour graph at resolution 1, and (best) at the resolution with the best NMI.",
}


def task_tables(metrics: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Return a table a task: models in rows, scores that are numbers in columns."""
    tables = {}
    for task in TASKS:
        rows = {name: scores[task] for name, scores in _everyone(metrics).items() if task in scores}
        if rows:
            numbers = {
                name: {k: v for k, v in row.items() if v is None or (isinstance(v, float) and not isinstance(v, bool))}
                for name, row in rows.items()
            }
            tables[task] = pd.DataFrame.from_dict(numbers, orient="index").astype(float)
            tables[task].index.name = "model"
    return tables


def type_table(scores: dict[str, Any]) -> pd.DataFrame:
    """Return precision, recall and F1 of each type, with the number of its cells."""
    frame = pd.DataFrame.from_dict(scores["per_class"], orient="index")
    frame.index.name = "type"
    return frame


def evaluation_report(
    run: str,
    metrics: dict[str, Any],
    embeddings: dict[str, np.ndarray],
    cells: AnnData,
    found: Reference,
    columns: Annotation,
    more: Sequence[dict[str, Any]] = (),
) -> str:
    """Return the page of an evaluation.

    Parameters
    ----------
    run
        Name of the run.
    metrics
        What metrics.json holds.
    embeddings
        Model to its embedding of the scored cells, `(n_cells, n_dimensions)`.
    cells, found
        The scored cells and their `reference.Reference`.
    columns
        Where they say what they are.
    more
        Further sections, for `page`.
    """
    tables = task_tables(metrics)
    shown = some_cells(len(found.pca), 2000 if len(embeddings) > 1 else 4000)
    part = cells[shown]
    obs = part.obs.copy()
    first = [columns.label_key, columns.batch_key]
    if found.has_time:
        obs["reference time"] = found.times[0][shown]
        first.append("reference time")
    views = explorer(
        {name: plots.plane(x[shown], seed=0) for name, x in embeddings.items()},
        obs,
        variable_genes(part, columns.layer),
        first,
        f"UMAP of {len(shown):,} cells, one panel a model",
    )
    # a pseudotime from the data alone is in metrics.json as a diagnostic; a report that leads with it would mislead
    if not found.has_time:
        metrics = _without(metrics, "trajectory")
        tables.pop("trajectory", None)
    lead = {"texts": answers(metrics), "explorer": [views], "tables": [table(short_table(metrics))]}
    sections: list[dict[str, Any]] = []
    if "integration" in tables:
        sections.append(integration_section(tables["integration"]))
        sections += bounds_sections({"": metrics["ceilings"]})
    for task, text in TEXTS.items():
        if task in tables:
            title = {"scgraph": "scGraph"}.get(task, task.capitalize())
            sections.append({"title": title, "texts": [text], "tables": [table(tables[task], task=task)]})
    if "classification" in metrics:
        sections.append(_classification(metrics, tables["classification"], embeddings[OURS], found))
    if "trajectory" in tables:
        sections.append(_trajectory(metrics, tables["trajectory"]))
    data = metrics["data"]
    scored = f"{data['scored_cells']:,} of {data['cells']:,} cells scored"
    share = data["encoder_saw_share"]
    labels = "with labels, which its scores then repeat" if data["encoder_saw_labels"] else "without their labels"
    subtitle = f"{scored}; the encoder was trained on {share:.0%} of them, {labels}"
    return page(f"Evaluation of {Path(run).name}", subtitle, [*sections, *more], lead)


def _without(metrics: dict[str, Any], task: str) -> dict[str, Any]:
    others = {name: {t: s for t, s in scores.items() if t != task} for name, scores in metrics["baselines"].items()}
    return {**{t: s for t, s in metrics.items() if t != task}, "baselines": others}


def _everyone(metrics: dict[str, Any]) -> dict[str, Any]:
    return {OURS: metrics, **metrics["baselines"]}


def short_table(metrics: dict[str, Any]) -> pd.DataFrame:
    """Return the main scores, models in rows; a score that no model has is left out."""
    rows = {
        name: {m: scores.get(m.task, {}).get(m.name) for m in SHORT if m.task in TASKS}
        for name, scores in _everyone(metrics).items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index").astype(float).dropna(axis=1, how="all")
    frame.index.name = "model"
    return frame


def answers(metrics: dict[str, Any]) -> list[str]:
    """Return what the scores say, in sentences: one seed, so differences are differences of these embeddings only."""
    frame = short_table(metrics)
    others = frame.drop(index=OURS)
    better: list[str] = []
    worse: list[str] = []
    for metric in frame.columns:
        rivals = others[metric].dropna()
        own = frame.loc[OURS, metric]
        if len(rivals) and np.isfinite(own):
            (better if own >= rivals.max() else worse).append(metric.label)
    total = find("integration", "Total")
    text = ""
    if total in frame.columns and np.isfinite(frame.loc[OURS, total]):
        text = f"{OURS} reaches a Total of {frame.loc[OURS, total]:.3f} in integration. "
    names = " and ".join(map(str, others.index))
    if better:
        text += f"It is ahead of {names} in {_list(better)}. "
    if worse:
        text += f"It is behind {names if len(others) == 1 else 'at least one of ' + names} in {_list(worse)}. "
    return [text + "This is one seed: small differences mean nothing, and `qbmvae compare` gives intervals."]


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def integration_section(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the section of the integration scores, models in rows, a table for each group of scores."""
    groups: tuple[tuple[Group, str], ...] = (
        ("total", "the means"),
        ("more", "further scores, none part of the means"),
        ("bio", "bio conservation"),
        ("batch", "batch correction"),
        ("extra", "not part of the means"),
    )
    tables = []
    for group, caption in groups:
        known = frame[[n for n in in_group(group) if n in frame]].dropna(axis=1, how="all")
        if known.shape[1]:
            tables.append(table(known, caption, task="integration"))
    text = "scib-metrics; Total = .6 bio conservation + .4 batch correction."
    if "Total" not in frame or frame["Total"].isna().all():
        text = "scib-metrics. There is one batch, so nothing is said of batch correction."
    return {"title": "Integration", "texts": [text], "tables": tables}


def bounds_sections(ceilings: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the integration scores are without signal and with perfect mixing, a table a data set.

    Parameters
    ----------
    ceilings
        Name of a data set to its noise ceilings.
    """
    tables = []
    for name, found in ceilings.items():
        frame = pd.DataFrame.from_dict(found.get("integration", {}), orient="index").astype(float)
        if len(frame):
            known = [m for m in METRICS.values() if m.task == "integration" and m.name in frame]
            shown = frame[[m.name for m in known]].T
            shown.index = pd.Index([m.label for m in known], name="score")
            tables.append(table(shown.dropna(how="all"), name, best=None, explain=ROWS))
    texts = [f"{row[0].upper()}{row[1:]}: {text}." for row, text in ROWS.items()]
    title = "What the integration scores can be"
    return [{"title": title, "list": texts, "tables": tables}] if tables else []


def _trajectory(metrics: dict[str, Any], frame: pd.DataFrame) -> dict[str, Any]:
    made = "" if metrics["trajectory"]["ground_truth"] else " It was made from these data by PCA, which it favours."
    text = f"Reference: {metrics['trajectory']['reference']}.{made}"
    return {
        "title": "Trajectory",
        "texts": [text],
        "tables": [table(frame.dropna(axis=1, how="all"), task="trajectory")],
    }


def _classification(metrics: dict[str, Any], frame: pd.DataFrame, x: np.ndarray, found: Any) -> dict[str, Any]:
    from experiments.tasks.classification import cross_validate

    scores = metrics["classification"]
    texts = [
        f"{scores['classifier']}, five stratified folds; precision, recall and f1 are means over types. The encoder saw "
        f"{metrics['data']['encoder_saw_share']:.0%} of the cells, without their labels."
    ]
    ceiling = metrics["ceilings"].get("classification_f1", {}).get("mean")
    if ceiling is not None:
        texts.append(f"Noise ceiling, the mean F1 of classifiers that see one batch alone: {ceiling:.3f}.")
    tables = [table(frame, task="classification"), table(type_table(scores), f"{OURS}, by type", best=None)]
    if scores["close_pairs"]:
        pairs = pd.DataFrame(
            {
                pair: {
                    name: Spread(s["balanced_accuracy"], s["low"], s["high"])
                    for name, other in _everyone(metrics).items()
                    if (s := other["classification"]["close_pairs"].get(pair))
                }
                for pair in scores["close_pairs"]
            }
        )
        pairs.index.name = "model"
        caption = "Close pairs: recall of the two types, averaged, with 95 % bootstrap intervals over cells"
        tables.append(table(pairs, caption, best="max"))
    predicted = cross_validate(x, found.label, "knn")
    image = plots.confusion(found.label, predicted, f"{OURS}, 15 nearest neighbours")
    return {"title": "Classification", "texts": texts, "tables": tables, "figures": figure(image, "confusion")}
