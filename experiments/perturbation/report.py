"""Reports of perturbation experiments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments.perturbation import plots
from experiments.perturbation.distribution import SCORES
from experiments.perturbation.scorer2 import SCORES_2026
from experiments.report.page import figure_of, page, settings_sections
from experiments.report.tables import table
from experiments.run_folder import write_text
from qbmvae.perturbation.model import PerturbationModel

if TYPE_CHECKING:
    from experiments.perturbation.config import TrainConfig
    from qbmvae.perturbation.boltzmann import BoltzmannPerturbation

#: Row of the prototype, whose scores its page gives for other data.
PROTOTYPE = "published prototype"
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
COLUMNS = ("des", "pds", "mae", "fdr", "des_scaled", "pds_scaled", "mae_scaled", "overall")
TASK = "perturbation"
MARGINS = "How far the model is ahead, ± 1.96 standard errors over perturbations; below zero it is behind."
DISTRIBUTION = (
    "Held-out cells of a perturbation are halved: predictions and the first half (the ceiling) are compared with the "
    "second, in the principal components of the held-out cells. Smaller is better; a two-sample accuracy of .5 cannot be "
    "told apart."
)


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
    """Write `report.html` and its figures for one training run.

    Parameters
    ----------
    out
        The run folder.
    config, model, metrics
        The run.
    effects
        "names", "predicted" and "observed" effects of the held-out perturbations; None where none are held out.
    """
    plots.training(model.history, out / "training.png")
    lead: dict[str, Any] = {"texts": ["Nothing was held out, so the model is not scored."]}
    sections: list[dict[str, Any]] = []
    if effects is not None:
        plots.score_bars({"model": metrics["model"], **metrics["baselines"]}, out / "scores.png")
        sides = {"predicted": effects["predicted"], "observed": effects["observed"]}
        how = (
            f"Scores as cell-eval defines them, against {metrics['n_control']} control cells; scaled scores are relative to "
            f"the {metrics['reference']}."
        )
        scores = score_table(metrics).set_index("predictor").astype(float).dropna(axis=1, how="all")
        lead = {
            "texts": [_answer(metrics), how],
            "tables": [table(scores, task=TASK)],
            "figures": figure_of(out / "scores.png", "bars: 1.96 standard errors over perturbations"),
        }
        sections = [
            {"title": "Against the baselines", "texts": [MARGINS], "list": metrics["verdict"]},
            _collapse(out, metrics["diagnostics"], sides, list(map(str, effects["names"]))),
        ]
    if metrics.get("challenge_2026"):
        sections.append(_challenge_2026(metrics["challenge_2026"]))
    if metrics.get("strata"):
        strata = table(pd.DataFrame(metrics["strata"]).set_index("perturbations"), best=None, task=TASK)
        text = "Thirds of the held-out perturbations, by how far the best simple baseline solves them already."
        sections.append({"title": "Where baselines are not enough", "texts": [text], "tables": [strata]})
    if metrics.get("distribution"):
        sections.append(_distribution(metrics["distribution"]))
    sections.append({"title": "Training", "figures": figure_of(out / "training.png", "by epoch")})
    if isinstance(model, PerturbationModel):
        path = out / "architecture.png"
        plots.architecture(model.options, model.predictor.width, len(model.genes), config.backbone, path)
        sections.append({"title": "Architecture", "figures": figure_of(path, "from control cells to predicted cells")})
    subtitle = (
        f"preset {config.preset}, {metrics['n_trainable']:,} trainable weights, seed {config.seed}; "
        f"hold-out: {metrics['holdout']}"
    )
    write_text(out / "report.html", page("Perturbation response", subtitle, [*sections, *settings_sections(out)], lead))


def _collapse(
    out: Path, diagnostics: dict[str, float], sides: dict[str, np.ndarray], names: list[str]
) -> dict[str, Any]:
    """Return the section that says whether all predictions are alike, and draw its figures, of three perturbations or more."""
    title = "Has it collapsed?"
    if len(names) < 3:
        return {
            "title": title,
            "texts": ["Fewer than three perturbations do not tell whether all predictions are alike."],
        }
    plots.components(sides, out / "pca.png")
    plots.heat_maps(sides, names, out / "similarity.png")
    frame = pd.DataFrame(
        {
            f"{side} effects": {
                name.removeprefix(f"{side}_"): value
                for name, value in diagnostics.items()
                if name.startswith(f"{side}_")
            }
            for side in sides
        }
    )
    figures = figure_of(out / "pca.png", "one dot a perturbation; a collapsed model puts them on one spot")
    figures += figure_of(out / "similarity.png", "a collapsed model predicts the same effect for all: one red square")
    return {"title": title, "tables": [table(frame, best=None, task=TASK)], "figures": figures}


def _answer(metrics: dict[str, Any]) -> str:
    own, baselines, n = metrics["model"], metrics["baselines"], metrics["n_perturbations"]
    text = (
        f"On {'one held-out perturbation' if n == 1 else f'{n} held-out perturbations'} the model's discrimination (PDS) is {own['pds']:.3f}, its "
        f"error (MAE) {own['mae']:.4f} and its gene recovery (DES) {own['des']:.3f}."
    )
    if baselines:
        pds, mae = max(baselines, key=lambda b: baselines[b]["pds"]), min(baselines, key=lambda b: baselines[b]["mae"])
        text += (
            f" The best baselines: {pds} (PDS {baselines[pds]['pds']:.3f}) and {mae} (MAE {baselines[mae]['mae']:.4f})."
        )
    return text


def _challenge_2026(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    cost = ("wall_seconds", "cpu_seconds", "peak_gib")
    frame = pd.DataFrame(found).T.rename_axis("predictor").astype(float)
    text = (
        f"The metrics of cell-eval2's preset vcc2026, each the mean over perturbations that have it. Scoring the model took "
        f"{frame['wall_seconds'].iloc[0]:.1f} s ({frame['cpu_seconds'].iloc[0]:.1f} s of CPU); the process held at most "
        f"{frame['peak_gib'].max():.2f} GiB."
    )
    # long names in a column of their own, predictors next to each other
    shown = frame.drop(columns=[*cost]).T.rename_axis("metric")
    return {"title": "Scores of the 2026 challenge", "texts": [text], "tables": [table(shown, best=None, task=TASK)]}


def _distribution(found: dict[str, Any]) -> dict[str, Any]:
    frame = pd.DataFrame(found["scores"]).set_index("predictor")
    text = f"{DISTRIBUTION} Means over perturbations ± 1.96 standard errors. The list says how far the model is ahead."
    tables = [table(frame, best=None, task=TASK)]
    return {"title": "Cells as a distribution", "texts": [text], "tables": tables, "list": found["verdict"]}


def seeds_report(out: Path, title: str, note: str, summary: pd.DataFrame) -> None:
    """Write `report.html` of a table over seeds.

    Parameters
    ----------
    out
        The folder.
    title, note
        What it is, and how it was made.
    summary
        One row a predictor under "row"; a score's half-width is in the column with the suffix " +-".
    """
    shown = summary.set_index(summary["row"].rename("predictor")).drop(columns="row")
    measured = shown.drop(index=PROTOTYPE)
    plots.score_bars(measured.to_dict("index"), out / "scores.png")
    lead = {
        "texts": [f"Best at telling perturbations apart (PDS): {measured['pds'].idxmax()}.", note],
        "tables": [table(shown.rename(columns=lambda c: c.removeprefix("predicted_")), task=TASK)],
        "figures": figure_of(out / "scores.png", "bars: 95 % t intervals over seeds"),
    }
    write_text(out / "report.html", page(title, note, settings_sections(out), lead))


def runs_report(out: Path, note: str, scores: pd.DataFrame, margins: pd.DataFrame) -> None:
    """Write `report.html` of several runs over seeds.

    Parameters
    ----------
    out
        The folder.
    note
        How intervals are made.
    scores
        Columns "run", "predictor" and scores, half-widths in columns with the suffix " +-".
    margins
        Columns "run", "against", margins of the model and their verdicts.
    """
    tables = [
        _run_table(part, ("des", "pds", "mae", "overall"), str(run)) for run, part in scores.groupby("run", sort=False)
    ]
    known = scores.dropna(subset=[c for c in SCORES if c in scores], how="all") if "mmd" in scores else scores.iloc[:0]
    cells = [_run_table(part, tuple(SCORES), str(run)) for run, part in known.groupby("run", sort=False)]
    against = [_margin_table(part.drop(columns="run"), str(run)) for run, part in margins.groupby("run", sort=False)]
    verdicts = margins[[c for c in margins if c.endswith(" verdict")]].to_numpy().ravel()
    counts = {word: int((verdicts == word).sum()) for word in ("better", "level", "worse")}
    answer = (
        f"In {sum(counts.values())} comparisons with another predictor that have an interval the model is better in "
        f"{counts['better']}, level in {counts['level']} and worse in {counts['worse']}."
    )
    sections: list[dict[str, Any]] = []
    if cells:
        sections.append({"title": "Cells as a distribution", "texts": [DISTRIBUTION], "tables": cells})
    later = scores.dropna(subset=["pds_cosine"]) if "pds_cosine" in scores else scores.iloc[:0]
    if len(later):
        text = "The six metrics of cell-eval2's preset vcc2026, and what scoring one prediction took; the memory is the process's."
        shown = [_run_table(part, SCORES_2026, str(run)) for run, part in later.groupby("run", sort=False)]
        sections.append({"title": "Scores of the 2026 challenge", "texts": [text], "tables": shown})
    text = "The first model of each table against the others, paired by seed; positive is better for it."
    sections += [{"title": "Margins of the model", "texts": [text], "tables": against}, *settings_sections(out)]
    lead = {"texts": [answer, *_worse(margins), note], "tables": tables}
    write_text(
        out / "report.html", page("Perturbation response over seeds", ", ".join(scores["run"].unique()), sections, lead)
    )


def _worse(margins: pd.DataFrame) -> list[str]:
    """Return one sentence a run that names where its model is worse than another predictor."""
    found = []
    for run, part in margins.groupby("run", sort=False):
        lost = [
            f"{'energy distance' if score == 'energy' else score.upper()} (against {', '.join(part.loc[part[f'{score} verdict'] == 'worse', 'against'])})"
            for score in (c.removesuffix(" verdict") for c in part if c.endswith(" verdict"))
            if (part[f"{score} verdict"] == "worse").any()
        ]
        if lost:
            found.append(f"Worse, {run}: {'; '.join(lost)}.")
    return found


def _run_table(part: pd.DataFrame, columns: tuple[str, ...], title: str) -> Any:
    kept = [c for c in part if c.removesuffix(" +-") in ("predictor", *columns)]
    shown = part[kept].dropna(subset=[c for c in columns if c in kept], how="all").set_index("predictor")
    return table(shown, title, task=TASK)


def _margin_table(margins: pd.DataFrame, title: str) -> dict[str, Any]:
    """Return a table of margins, each followed by its verdict."""
    shown = margins.dropna(axis=1, how="all").set_index("against")
    scores = [c.removesuffix(" verdict") for c in shown if c.endswith(" verdict")]
    order = [column for score in scores for column in (score, f"{score} +-", f"{score} verdict") if column in shown]
    made = table(shown[order], title, best=None, task=TASK)
    for column in made["columns"]:
        column["name"] = "verdict" if column["name"].endswith(" verdict") else column["name"]
    return made
