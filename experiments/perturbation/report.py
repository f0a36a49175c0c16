"""HTML reports of perturbation experiments."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from experiments.perturbation import plots
from experiments.perturbation.distribution import SCORES
from experiments.report.plain_page import image, page, table
from qbmvae.perturbation.model import PerturbationModel

if TYPE_CHECKING:
    from experiments.perturbation.config import TrainConfig
    from qbmvae.perturbation.boltzmann import BoltzmannPerturbation

# what the public prototype's page gives, raw and scaled
PUBLISHED = {
    "des": 0.8532,
    "pds": 0.5076,
    "mae": 0.1433,
    "des_scaled": 0.8455,
    "pds_scaled": 0.0,
    "mae_scaled": 0.0,
    "overall": 28.18,
}
COLUMNS = ("des", "pds", "mae", "des_scaled", "pds_scaled", "mae_scaled", "overall")


def score_table(metrics: dict[str, Any]) -> pd.DataFrame:
    """Return the scores of model and baselines, one row a predictor."""
    rows = {"model": metrics["model"], **metrics["baselines"]}
    frame = pd.DataFrame({name: {c: scores.get(c) for c in COLUMNS} for name, scores in rows.items()}).T
    return frame.rename_axis("predictor").reset_index()


def train_report(
    out: Path,
    config: TrainConfig,
    model: PerturbationModel | BoltzmannPerturbation,
    metrics: dict[str, Any],
    effects: dict[str, Any] | None,
) -> None:
    """Write `report.html` and its figures for one training run."""
    plots.training(model.history, out / "training.png")
    sections = [
        f"<p>Preset {html.escape(config.preset)}, {metrics['n_trainable']:,} trainable weights, seed {config.seed}; "
        f"hold-out: {html.escape(metrics['holdout'])}.</p>",
    ]
    if isinstance(model, PerturbationModel):
        path, width = out / "architecture.png", model.predictor.width
        plots.architecture(model.options, width, len(model.genes), config.backbone, path)
        sections.append(image(path))
    if effects is not None:
        plots.score_bars({"model": metrics["model"], **metrics["baselines"]}, out / "scores.png")
        sides = {"predicted": effects["predicted"], "observed": effects["observed"]}
        plots.components(sides, out / "pca.png")
        plots.heat_maps(sides, out / "similarity.png")
        diagnostics = pd.DataFrame([metrics["diagnostics"]]).T.rename(columns={0: "value"}).rename_axis("diagnostic")
        sections += [
            f"<h2>Scores on {metrics['n_perturbations']} held-out perturbations</h2>"
            f"<p>As cell-eval defines them, against {metrics['n_control']} control cells; scaled scores are relative to the "
            f"{metrics['reference']}. Bars: 1.96 standard errors over perturbations.</p>",
            table(score_table(metrics)),
            image(out / "scores.png"),
            "<h2>Against the baselines</h2><ul>",
            *(f"<li>{html.escape(line)}</li>" for line in metrics["verdict"]),
            "</ul><h2>Has it collapsed?</h2>",
            table(diagnostics.reset_index()),
            image(out / "pca.png"),
            image(out / "similarity.png"),
        ]
    if metrics.get("distribution"):
        found = pd.DataFrame(metrics["distribution"]["scores"])
        sections += [
            "<h2>Cells as a distribution</h2><p>Held-out cells of a perturbation are halved: predictions and the first half "
            "(the ceiling) are compared with the second, in the principal components of the held-out cells. Smaller is "
            "better; a two-sample accuracy of .5 cannot be told apart. Means over perturbations with 1.96 standard "
            "errors.</p>",
            table(with_intervals(found)),
            "<ul>",
            *(f"<li>{html.escape(line)}</li>" for line in metrics["distribution"]["verdict"]),
            "</ul>",
        ]
    sections += ["<h2>Training</h2>", image(out / "training.png")]
    page(out, "Perturbation response", sections)


def with_intervals(summary: pd.DataFrame) -> pd.DataFrame:
    """Return a distribution summary with each score and its half width in one column."""
    shown = summary[["predictor"]].copy()
    for score in SCORES:
        pairs = summary[[score, f"{score}_half"]].astype(float).to_numpy()
        shown[score] = [f"{m:.4f}" if pd.isna(h) else f"{m:.4f} ± {h:.4f}" for m, h in pairs]
    return shown


def seeds_report(out: Path, title: str, note: str, summary: pd.DataFrame, scores: dict[str, dict[str, float]]) -> None:
    """Write `report.html` of a table over seeds."""
    plots.score_bars(scores, out / "scores.png", spread="_se")
    page(out, title, [f"<p>{html.escape(note)}</p>", table(summary), image(out / "scores.png")])
