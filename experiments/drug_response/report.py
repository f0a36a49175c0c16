"""HTML reports: self-contained pages with tables and curves."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.drug_response import plots
from experiments.drug_response.claims import METRICS
from experiments.drug_response.config import CompareConfig
from experiments.drug_response.controls import MEANS
from experiments.report.plain_page import image, page, table


def compare_report(out: Path, config: CompareConfig, results: pd.DataFrame, found: Mapping[str, pd.DataFrame]) -> None:
    """Write `report.html`, `curves.png` and `sizes.png` of a comparison."""
    largest = max(results["n_train"])
    at_largest = results[(results["n_train"] == largest) & results["history"].notna()]
    histories = {
        name: [h["mse_test"] for h in group["history"]] for name, group in at_largest.groupby("name", sort=False)
    }
    means = results[(results["n_train"] == largest) & (results["name"] == "drug-mean")]["paper_mse"]
    sections: list[str] = []
    if histories:
        level = float(means.mean()) if len(means) else None
        plots.curves(histories, out / "curves.png", title=f"test error, {largest:,} training pairs", level=level)
        sections += ["<h2>Test error by epoch (Fig. 3)</h2>", image(out / "curves.png")]
    plots.sizes(found["summary"], out / "sizes.png")
    sections += ["<h2>Error by number of training pairs (Fig. 4)</h2>", image(out / "sizes.png")]
    done, wanted = len(results), len((*config.heads, *config.controls)) * len(config.sizes) * len(config.seeds)
    page(
        out,
        "Quantum head against its controls",
        [
            f"<p>{done} of {wanted} cells are finished. Intervals are 95 % t intervals over seeds; differences are paired "
            "by seed. The epoch is chosen on validation pairs. The common test is the same for all training sizes.</p>",
            "<h2>Claims of the paper</h2>",
            table(found["claims"]),
            *sections,
            "<h2>Quantum head against each other model (gain within drugs; MSE lower by, %)</h2>",
            table(found["differences"]),
            "<h2>All metrics on the common test</h2>",
            table(compact(found["summary"])),
        ],
    )


def train_report(out: Path, metrics: Mapping[str, Any], history: Mapping[str, Sequence[float]]) -> None:
    """Write `report.html` and `curves.png` of one training run; `scatter.png` must be there."""
    curves = {name.removeprefix("mse_"): [values] for name, values in history.items()}
    plots.curves(curves, out / "curves.png", title="error by epoch", level=metrics["drug_mean"]["mse"])
    rows = pd.DataFrame({part: metrics[part] for part in ("test", *MEANS, "validation")}).T
    page(
        out,
        f"Drug response, head {metrics['head']!r}",
        [
            f"<p>Split {html.escape(metrics['split'])}: {metrics['n_train']:,} training, {metrics['n_validation']:,} "
            f"validation, {metrics['n_test']:,} test pairs; epoch {metrics['best_epoch']} of {metrics['epochs']} chosen by "
            "validation. Within drugs each drug's mean is taken out: what is known beyond its potency. drug_mean, line_mean "
            "and drug_and_line_mean predict the test from the means of the training pairs alone.</p>",
            table(rows.rename_axis("part").reset_index()),
            image(out / "curves.png"),
            image(out / "scatter.png"),
        ],
    )


def sweep_report(out: Path, ranked: pd.DataFrame, chosen: Mapping[str, Any]) -> None:
    """Write `report.html` of a sweep."""
    page(
        out,
        "Sweep of the quantum head, chosen on validation pairs",
        [
            f"<p>Chosen: {html.escape(str(chosen['setting']))}; test MSE of that one setting {chosen['test_mse']:.5f}. "
            "No other setting has seen the test.</p>",
            table(ranked),
        ],
    )


def compact(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the summary with each metric and its 95 % interval in one column, MSE in thousandths."""
    shown = summary[["n_train", "model", "seeds"]].copy()
    for metric, scale in ((m, 1e3 if m == "mse" else 1.0) for m in METRICS):
        columns = summary[[metric, f"{metric}_low", f"{metric}_high"]] * scale
        shown["MSE x 1000" if metric == "mse" else metric] = [_with_interval(*row) for row in columns.to_numpy()]
    return shown.assign(cpu_seconds=summary["cpu_seconds"].round(1))


def markdown(frame: pd.DataFrame) -> str:
    """Return a table as Markdown, three significant digits; what is not there stays empty."""
    rows = [
        ["" if pd.isna(v) else f"{v:.3g}" if isinstance(v, float) else str(v) for v in row]
        for row in frame.itertuples(index=False)
    ]
    lines = [list(map(str, frame.columns)), ["---"] * frame.shape[1], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _with_interval(mean: float, low: float, high: float) -> str:
    if pd.isna(mean):
        return ""
    return f"{mean:.3f}" if pd.isna(low) else f"{mean:.3f} ± {(high - low) / 2:.3f}"
