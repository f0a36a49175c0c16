"""Reports of drug-response experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.drug_response import plots
from experiments.drug_response.claims import METRICS, WITHIN
from experiments.drug_response.config import CompareConfig
from experiments.drug_response.controls import MEANS
from experiments.report.page import figure_of, page, settings_sections
from experiments.report.tables import table
from experiments.report.values import Spread, markdown
from experiments.run_folder import write_text

#: What the reports call the metrics.
NAMES = {
    "mse": "MSE", "rmse": "RMSE", "mae": "MAE", "r2": "R2", "pearson": "Pearson", "spearman": "Spearman",
    "concordance": "concordance", "pearson_within_drug": "Pearson within drugs",
    "spearman_within_drug": "Spearman within drugs", "cpu_seconds": "CPU seconds",
}  # fmt: skip
EXPLAIN = {
    "mse": "mean squared error of the response on its scale from 0 to 1; less is better",
    "MSE x 1000": "mean squared error of the response on its scale from 0 to 1, in thousandths; less is better",
    "rmse": "square root of the mean squared error",
    "mae": "mean absolute error",
    "r2": "share of the variance that is predicted",
    "pearson": "correlation of prediction and response over all pairs",
    "spearman": "correlation of their ranks over all pairs",
    "concordance": "Lin's concordance: correlation that also punishes wrong scale and offset",
    "pearson_within_drug": "correlation after each drug's mean is taken out: what the mean of the drug cannot give",
    "spearman_within_drug": "the same correlation by ranks",
    "cpu_seconds": "processor seconds of one training",
    "MSE lower by, %": "by how many per cent the quantum head's MSE is lower, paired by seed, with its 95 % interval",
    "gain, Pearson within drugs": "the quantum head's minus the other's, paired by seed, with its 95 % interval",
    "gain, Spearman within drugs": "the quantum head's minus the other's, paired by seed, with its 95 % interval",
}
#: Columns of the differences with their intervals, and how the report calls them.
DIFFERENCES = {
    "pearson_within_drug_gain": "gain, Pearson within drugs",
    "spearman_within_drug_gain": "gain, Spearman within drugs",
    "lower_by_percent": "MSE lower by, %",
}
EXPLAIN = {NAMES.get(name, name): text for name, text in EXPLAIN.items()}
BEST = {"MSE x 1000": "min", "mse": "min", "rmse": "min", "mae": "min"} | dict.fromkeys(
    ("pearson", "spearman", "concordance", "pearson_within_drug", "spearman_within_drug", "r2"), "max"
)
BEST = {NAMES.get(name, name): direction for name, direction in BEST.items()}


def compare_report(out: Path, config: CompareConfig, results: pd.DataFrame, found: Mapping[str, pd.DataFrame]) -> None:
    """Write `report.html`, `curves.png` and `sizes.png` of a comparison.

    Parameters
    ----------
    out
        The comparison's folder.
    config
        What is compared.
    results
        One row a finished training.
    found
        The tables "summary", "differences" and "claims".
    """
    first = results[results["split"] == config.splits[0]]
    largest = max(first["n_train"])
    at_largest = first[(first["n_train"] == largest) & first["history"].notna()]
    histories = {
        name: [h["mse_test"] for h in group["history"]] for name, group in at_largest.groupby("name", sort=False)
    }
    means = first[(first["n_train"] == largest) & (first["name"] == "drug-mean")]["paper_mse"]
    plots.sizes(found["summary"][found["summary"]["split"] == config.splits[0]], out / "sizes.png")
    sections: list[dict[str, Any]] = []
    if histories:
        level = float(means.mean()) if len(means) else None
        plots.curves(histories, out / "curves.png", title=f"test error, {largest:,} training pairs", level=level)
        caption = "thin lines are seeds, thick ones their means (Fig. 3 of the paper)"
        sections.append({"title": "Test error by epoch", "figures": figure_of(out / "curves.png", caption)})
    done, wanted = len(results), len((*config.heads, *config.controls)) * len(config.sizes) * len(config.seeds)
    wanted *= len(config.splits)
    how = (
        f"{done} of {wanted} trainings are finished. Intervals are 95 % t intervals over seeds; differences are paired by "
        "seed. The epoch is chosen on validation pairs. The common test is the same for all training sizes."
    )
    short = compact(found["summary"])
    at = short[(short["split"] == config.splits[0]) & (short["n_train"] == largest)]
    lead_rows = at[["model", "seeds", *WITHIN, "MSE x 1000"]]
    lead = {
        "texts": [_within_answer(found["summary"], config.splits[0], largest), how],
        "tables": [table(lead_rows.set_index("model").rename(columns=NAMES), best=BEST, explain=EXPLAIN)],
        "figures": figure_of(
            out / "sizes.png", "error by number of training pairs, 95 % intervals (Fig. 4 of the paper)"
        ),
    }
    claims = table(found["claims"].set_index("claim"), best=None)
    sections.append({"title": "Claims of the paper", "texts": [_claims_answer(found["claims"])], "tables": [claims]})
    if len(found["differences"]):
        rows = found["differences"]
        shown = pd.DataFrame({"split": rows["split"], "training pairs": rows["n_train"], "seeds": rows["seeds"]})
        for column, text in DIFFERENCES.items():
            if column in rows:
                ends = rows[
                    [column, f"{column}_low", f"{column}_high"] if f"{column}_low" in rows else [column, "low", "high"]
                ]
                shown[text] = [Spread(*r) for r in ends.astype(float).to_numpy()]
        shown = shown.set_index(rows["against"].rename("against"))
        title = "The quantum head against each other model"
        sections.append({"title": title, "tables": [table(shown, best=None, explain=EXPLAIN)]})
    scores = [
        table(
            rows.drop(columns=["split", "n_train"]).set_index("model").rename(columns=NAMES),
            f"{n:,} training pairs, {split} split",
            best=BEST,
            explain=EXPLAIN,
        )
        for (split, n), rows in compact(found["summary"]).groupby(["split", "n_train"], sort=False)
    ]
    sections.append({"title": "All metrics on the common test", "tables": scores})
    if len(found["mechanisms"]):
        strata = [
            table(part.drop(columns="split").set_index("mechanism"), f"{split} split", best=None)
            for split, part in by_mechanism(found["mechanisms"]).groupby("split", sort=False)
        ]
        text = "Pearson correlation within the drugs of a mechanism, mean over seeds with 95 % intervals."
        sections.append({"title": "By mechanism of action", "texts": [text], "tables": strata})
    _write(out, "Drug response: the quantum head against its controls", str(config.tables.ic50), sections, lead)


def _within_answer(summary: pd.DataFrame, split: str, n_train: int) -> str:
    rows = summary[(summary["split"] == split) & (summary["n_train"] == n_train)].dropna(subset=WITHIN[0])
    if not len(rows):
        return f"No model tells lines apart within drugs at {n_train:,} training pairs."
    best = rows.loc[rows[WITHIN[0]].idxmax()]
    text = f"Within drugs, {best['model']} predicts best: Pearson {best[WITHIN[0]]:.3f} at {n_train:,} training pairs, {split} split"
    own = rows[rows["model"] == "quantum"]
    if len(own) and best["model"] != "quantum":
        text += f"; the quantum head has {own[WITHIN[0]].iloc[0]:.3f}"
    return text + "."


def _claims_answer(claims: pd.DataFrame) -> str:
    known = claims[~claims["verdict"].str.startswith("open")]
    holds = int((known["verdict"] == "holds").sum())
    text = f"Of {len(claims)} claims of the paper, {holds} hold here"
    if len(known) > holds:
        text += f", {len(known) - holds} do not hold"
    if len(claims) > len(known):
        text += f", {len(claims) - len(known)} stay open"
    return text + "."


def train_report(out: Path, metrics: Mapping[str, Any], history: Mapping[str, Sequence[float]]) -> None:
    """Write `report.html` and `curves.png` of one training run; `scatter.png` must be there.

    Parameters
    ----------
    out
        The run folder.
    metrics
        What metrics.json holds.
    history
        Curves by epoch, "mse_train" and the like.
    """
    curves = {name.removeprefix("mse_"): [values] for name, values in history.items()}
    plots.curves(curves, out / "curves.png", title="error by epoch", level=metrics["drug_mean"]["mse"])
    # the means are predicted from the training pairs alone
    names = {"test": f"head {metrics['head']!r}"} | {m: m.replace("_", " ") for m in MEANS}
    rows = pd.DataFrame({text: metrics[part] for part, text in names.items()}).T.rename_axis("on the test pairs")
    validation = pd.DataFrame({"validation": metrics["validation"]}).T.rename_axis("pairs")
    own, mean = metrics["test"]["mse"], metrics["drug_mean"]["mse"]
    change = f"{own / mean:.2f} times"
    lead = {
        "texts": [
            f"On {metrics['n_test']:,} test pairs the {metrics['head']!r} head has a squared error of {own:.5f}, {change} "
            f"that of the mean of each drug ({mean:.5f}); below 1 it has learned more than the drugs' potencies.",
            "Within drugs each drug's mean is taken out: what is known beyond its potency.",
            f"Split {metrics['split']!r}: {metrics['n_train']:,} training, {metrics['n_validation']:,} validation, "
            f"{metrics['n_test']:,} test pairs; epoch {metrics['best_epoch']} of {metrics['epochs']} chosen by validation.",
        ],
        "tables": [table(rows.rename(columns=NAMES), best=BEST, explain=EXPLAIN, decimals=4)],
        "figures": figure_of(out / "scatter.png", "test pairs; on the line the prediction is right"),
    }
    sections = [
        {
            "title": "Training",
            "figures": figure_of(out / "curves.png", "the dashed line is the mean of the drug on the test"),
        },
        {
            "title": "Validation",
            "tables": [table(validation.rename(columns=NAMES), best=None, explain=EXPLAIN, decimals=4)],
        },
        {"title": "Notes on the data", "list": metrics.get("notes", [])},
    ]
    _write(out, f"Drug response, head {metrics['head']!r}", f"target {metrics['target']}", sections, lead)


def sweep_report(out: Path, ranked: pd.DataFrame, chosen: Mapping[str, Any]) -> None:
    """Write `report.html` of a sweep.

    Parameters
    ----------
    out
        The sweep's folder.
    ranked
        One row a setting, the best by validation first.
    chosen
        "setting", "validation_mse" and "test_mse" of the best.
    """
    names = [setting_name(row) for row in ranked.to_dict("records")]
    plots.settings(names, ranked["validation_mse"].tolist(), out / "settings.png")
    lead = {
        "texts": [
            f"Chosen on validation pairs: {chosen['setting']}. Its test error (MSE) is {chosen['test_mse']:.5f}; no other "
            "setting has seen the test."
        ],
        "figures": figure_of(out / "settings.png", "every setting by its error on the validation pairs"),
    }
    shown = pd.DataFrame(
        {
            "rank": range(1, len(ranked) + 1),
            "setting": names,
            "validation MSE x 1000": 1000 * ranked["validation_mse"],
            "angles": ranked["angles"],
            "CPU seconds": ranked["cpu_seconds"].round(1),
        }
    ).set_index("rank")
    sections = [{"title": "All settings", "tables": [table(shown, best={"validation MSE x 1000": "min"})]}]
    _write(out, "Sweep of the quantum head", f"{len(ranked)} settings", sections, lead)


def setting_name(setting: Mapping[str, Any]) -> str:
    """Return a setting of the sweep in words."""
    qubits, layers = (
        "1 " + what if n == 1 else f"{n} {what}s"
        for n, what in ((setting["n_qubits"], "qubit"), (setting["n_layers"], "layer"))
    )
    return f"{qubits}, {layers}, learning rate {setting['learning_rate']:g}, {setting['optimiser']}"


def _write(out: Path, title: str, subtitle: str, sections: list[dict[str, Any]], lead: dict[str, Any]) -> None:
    write_text(out / "report.html", page(title, subtitle, [*sections, *settings_sections(out)], lead))


def compact(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the summary with each metric and its 95 % interval in one column, MSE in thousandths."""
    shown = summary[["split", "n_train", "model", "seeds"]].copy()
    for metric, scale in ((m, 1e3 if m == "mse" else 1.0) for m in METRICS):
        columns = summary[[metric, f"{metric}_low", f"{metric}_high"]] * scale
        shown["MSE x 1000" if metric == "mse" else metric] = [
            Spread.around(mean, (high - low) / 2) for mean, low, high in columns.to_numpy()
        ]
    return shown.assign(cpu_seconds=summary["cpu_seconds"].round(1))


def by_mechanism(strata: pd.DataFrame, metric: str = "pearson_within_drug") -> pd.DataFrame:
    """Return one row a split and mechanism, one column a model: mean and 95 % interval over seeds; most pairs first."""
    shown = strata.dropna(subset=metric).copy()
    ends = shown[[metric, f"{metric}_low", f"{metric}_high"]].to_numpy(float)
    shown["value"] = [Spread.around(mean, (high - low) / 2) for mean, low, high in ends]
    pairs = shown.groupby(["split", "mechanism"], sort=False)["pairs"].mean().round().astype(int)
    wide = shown.pivot(index=["split", "mechanism"], columns="model", values="value")
    wide.insert(0, "pairs", pairs)
    place = {split: k for k, split in enumerate(strata["split"].unique())}
    wide = wide.sort_values("pairs", ascending=False, kind="stable").reset_index()
    return wide.sort_values("split", key=lambda c: c.map(place), kind="stable", ignore_index=True)


def heading(column: str) -> str:
    """Return a column's name in words: `pearson_within_drug_gain_low` is "gain, Pearson within drugs, low"."""
    name, end = column, ""
    for part in ("low", "high"):
        if column.endswith(f"_{part}"):
            name, end = column.removesuffix(f"_{part}"), f", {part}"
    words = NAMES | DIFFERENCES | {"n_train": "training pairs"}
    return words.get(name, name.replace("_", " ")) + end


def as_markdown(frame: pd.DataFrame) -> str:
    """Return a table as Markdown, headings in words, three significant digits; what is not there stays empty."""
    rows = frame.itertuples(index=False)
    texts = (["" if pd.isna(v) else f"{v:.3g}" if isinstance(v, float) else str(v) for v in row] for row in rows)
    return markdown((heading(str(c)) for c in frame.columns), texts)
