"""The report of a comparison: where the claim holds and where it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from experiments import run_folder
from experiments.comparison import report_figures, statistics
from experiments.comparison import report_sections as details
from experiments.comparison.config import Comparison
from experiments.comparison.grid import entry_path
from experiments.comparison.results import CONFIG, entries, results_table
from experiments.config import build
from experiments.evaluation.report import bounds_sections
from experiments.methods.registry import METHODS
from experiments.report import plots
from experiments.report.page import figure, page
from experiments.report.tables import table
from experiments.tasks.metrics import HEADLINES, Metric
from samplers.errors import InputError

COLUMNS = {
    "difference": "ours minus the best other, paired by seed and data set; positive is better for ours",
    "low": "lower end of the 95 % interval of the difference",
    "high": "upper end of the 95 % interval of the difference",
    "data sets": "data sets on which both ran",
    "closer on fewer": "models that ran on fewer data sets and come closer there: ours minus theirs, and the number of sets",
    "ours is better": "holds: the interval is above zero; fails: below; open: it spans zero, or there is one seed only",
}

#: A model that ran on this share of the data sets may be the best other; less would let a hard set be left out.
NEARLY_ALL = 0.8


def read_comparison(folder: Path) -> Comparison:
    """Return the configuration of a comparison's folder.

    Raises
    ------
    InputError
        Where it is damaged.
    """
    return build(Comparison, run_folder.read_json(folder / CONFIG), str(folder / CONFIG))


def read_fits(folder: Path, comparison: Comparison) -> list[dict[str, Any]]:
    """Return the results of the comparison's entries, failures included; each with "dataset", "model", "seed", "path"."""
    found = []
    for entry in entries(comparison):
        path = entry_path(folder, entry.key)
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if result.get("hash") == entry.hash:
            _, data, model, seed = entry.arguments
            found.append({**result, "dataset": data.name, "model": model.name, "seed": seed, "path": path})
    return found


def write_report(folder: str | Path, target: str | Path) -> None:
    """Write the HTML report of a comparison from its result files, also of an unfinished one.

    Raises
    ------
    InputError
        Where there is no result yet.
    """
    folder = Path(folder)
    comparison = read_comparison(folder)
    results = results_table(folder, comparison)
    fits = read_fits(folder, comparison)
    done = [f for f in fits if "error" not in f]
    if not done:
        raise InputError(f"{folder} holds no result yet: run `qbmvae compare` first")
    verdicts = verdict_table(results, comparison)
    ours = comparison.ours
    sections = [
        {"title": "Where the claim holds", "texts": [_how(comparison)], "tables": verdicts_tables(verdicts)},
        *score_sections(results, ours),
        *details.pair_section(results),
        *details.rare_section(results),
        *details.cost_section(results),
        *report_figures.epoch_section(results, comparison),
        *report_figures.embedding_sections(done, ours),
        *report_figures.curve_sections(done),
        *details.ceiling_section(done),
        *bounds_sections({f["dataset"]: f["ceilings"] for f in done}),
        *details.control_section(results),
        *details.part_section(done),
        *details.failure_section(fits),
    ]
    described = run_folder.plain(
        {"versions": run_folder.read_json(folder / run_folder.VERSIONS), **run_folder.read_json(folder / CONFIG)}
    )
    sections.append({"title": "Settings", "details_title": "versions, data sets, models, budget",
                     "details": yaml.safe_dump(described, sort_keys=False)})  # fmt: skip
    n = len(entries(comparison))
    progress = f"all {n} fits" if len(done) == n else f"{len(done)} of {n} fits so far"
    subtitle = (
        f"{progress}; {_count(len(comparison.datasets), 'data set')}, {_count(len(comparison.models), 'model')}, "
        f"seeds {', '.join(map(str, comparison.seeds))}; {comparison.max_epochs} epochs, "
        f"{comparison.n_layers} layers of {comparison.n_hidden}, batch size {comparison.batch_size}"
    )
    lead = {"texts": _answers(verdicts, ours), "figures": verdict_figure(verdicts, ours)}
    run_folder.write_text(target, page(comparison.name, subtitle, sections, lead))


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def label_free(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of models that see no labels."""
    return results[~results.uses_labels.astype(bool)]


def verdict_table(results: pd.DataFrame, comparison: Comparison) -> list[dict[str, Any]]:
    """Return, for every headline score, our model, the best other and what the paired interval says."""
    ours, ablations = comparison.ours, {m.name for m in comparison.models if METHODS[m.method].ablation}
    rows = []
    for metric in HEADLINES:
        grid = statistics.score_grid(label_free(results), metric.task, metric.name)
        if ours not in grid or len(grid.columns) < 2:
            continue
        signed = grid if metric.more else -grid
        differences = statistics.paired(signed[[m for m in signed if m not in ablations or m == ours]], ours)
        if not len(differences):
            continue
        means = differences.xs("mean", level="dataset")
        # a model that cannot run everywhere is compared where it can; the best other ran on nearly all
        sets = differences.drop("mean", level="dataset").groupby(level="model").size()
        most = sets.reindex(means.index) >= NEARLY_ALL * sets.max()
        rivals = means[most]
        best = str(rivals.difference.idxmin())
        d = means.loc[best]
        # what comes closer on the sets where it ran is named, or a model could be hidden by leaving it out of one set
        closer = means[(means.difference < d.difference) & ~most].sort_values("difference")
        both = grid[[ours, best]].dropna().groupby(level="dataset").mean().mean()
        rows.append(
            {"metric": metric, "ours": both[ours], "best": best, "other": both[best], "difference": d.difference,
             "low": d.low, "high": d.high, "sets": int(sets[best]),
             "claim": statistics.verdict(d.difference, d.low, d.high),
             "closer": {str(m): (float(r.difference), int(sets[m])) for m, r in closer.iterrows()}}
        )  # fmt: skip
    return rows


def verdicts_tables(verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the verdicts as a table."""
    if not verdicts:
        return []
    frame = pd.DataFrame(
        [
            {"score": v["metric"].label, "ours": v["ours"], "best other": v["best"], "its score": v["other"],
             "difference": v["difference"], "low": v["low"], "high": v["high"], "data sets": v["sets"],
             "ours is better": v["claim"], "closer on fewer": ", ".join(_closer(v))}
            for v in verdicts
        ]
    ).set_index("score")  # fmt: skip
    return [table(frame, best=None, explain=COLUMNS)]


def verdict_figure(verdicts: list[dict[str, Any]], ours: str) -> list[dict[str, str]]:
    """Return the differences that are shares, with their intervals, as a figure; those of one seed have none."""
    rows = [
        (f"{v['metric'].label}, over {v['best']}", v["difference"], v["low"], v["high"])
        for v in verdicts
        if np.isfinite(v["low"]) and abs(v["ours"]) <= 1 and abs(v["other"]) <= 1
    ]
    if not rows:
        return []
    text = f"{ours} minus the best other model in each score, 95 % intervals; right of the line is better for {ours}"
    return figure(plots.intervals(rows, "paired difference"), text)


def _closer(v: dict[str, Any]) -> list[str]:
    """Return the models that come closer than the best other on fewer data sets, with our lead and the number of sets."""
    return [f"{m} {d:+.3f} ({n})" for m, (d, n) in v["closer"].items()]


def _answers(verdicts: list[dict[str, Any]], ours: str) -> list[str]:
    """Return the main score in a sentence, and how many of the others go which way in another."""
    if not verdicts:
        return [f"There is no other model to compare {ours} with yet."]
    v = next((v for v in verdicts if v["metric"].name == "Total"), verdicts[0])
    sets = "one data set" if v["sets"] == 1 else f"{v['sets']} data sets"
    there = " that ran on nearly all of them" if v["closer"] else ""
    first = f"{ours} has a {v['metric'].label} of {v['ours']:.3f} over {sets}; the best other model{there}, {v['best']}, has {v['other']:.3f}."
    if np.isfinite(v["low"]):
        first += f" The difference is {v['difference']:+.3f} (95 % interval {v['low']:+.3f} to {v['high']:+.3f})."
    else:
        first += " One seed gives no interval."
    if v["closer"]:
        first += f" Closer on the sets where they ran: {', '.join(_closer(v))}."
    words = {"holds": "better than the best other model in", "open": "within the interval in", "fails": "worse in"}
    counts = {c: sum(v["claim"] == c for v in verdicts) for c in words}
    parts = [f"{words[c]} {n}" for c, n in counts.items() if n]
    return [
        first,
        f"Of {len(verdicts)} scores, {ours} is {', '.join(parts)}: the figure and the first table say which.",
    ]


def _how(comparison: Comparison) -> str:
    return (
        f"{comparison.ours} against the model with the best mean over the data sets, of those that ran on four fifths of them. Differences are "
        "paired by seed and data set. Models that see the labels and variants of our own model are left out here; both are in the tables below."
    )


def score_sections(results: pd.DataFrame, ours: str) -> list[dict[str, Any]]:
    """Return a section for each headline score: means and deviations, paired differences, ranks."""
    sections = []
    labels = set(results[results.uses_labels.astype(bool)].model)
    for metric in HEADLINES:
        grid = statistics.score_grid(results, metric.task, metric.name)
        if grid.dropna(how="all").empty:
            continue
        shown = statistics.spread_table(grid)
        shown.index = pd.Index([f"{m} (sees labels)" if m in labels else m for m in shown.index], name="model")
        section: dict[str, Any] = {
            "title": metric.label if metric.label[:2] == "sc" else metric.label[0].upper() + metric.label[1:],
            "texts": [metric.explain[0].upper() + metric.explain[1:] + ". " + _composition(metric)],
            "tables": [table(shown, best="max" if metric.more else "min", decimals=metric.decimals)],
        }
        if ours in grid and len(grid.columns) > 1:
            section |= _differences(grid if metric.more else -grid, ours)
        if metric.name == "Total" and len(shown.columns) > 2:
            means = statistics.mean_table(grid)[0].drop(columns="mean")
            caption = "rank (and score) by data set; mean rank in brackets"
            section["figures"] = section.get("figures", []) + figure(plots.ranks(means), caption)
        sections.append(section)
    return sections


def _composition(metric: Metric) -> str:
    if metric.composition == "none":
        return "Mean ± standard deviation over seeds."
    return f"Mean ± standard deviation over seeds. Unequal composition of the batches {metric.composition} it."


def _differences(grid: pd.DataFrame, ours: str) -> dict[str, Any]:
    rows = statistics.paired(grid, ours)
    if not len(rows):
        return {}
    means = rows.xs("mean", level="dataset")
    bars = [(f"{ours} - {m}", r.difference, r.low, r.high) for m, r in means.iterrows() if np.isfinite(r.low)]
    text = f"mean over data sets, 95 % interval; right of the line is better for {ours}"
    found: dict[str, Any] = {"figures": figure(plots.intervals(bars, "paired difference"), text)} if bars else {}
    per_set = rows.drop("mean", level="dataset").reset_index()
    return found | {"details_title": "differences by data set", "details": per_set.round(4).to_string(index=False)}
