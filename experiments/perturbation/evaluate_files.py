"""Score files of predictions, or a run folder's own prediction, against observed cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments import run_folder
from experiments.perturbation.challenge import control_cells
from experiments.perturbation.runs import read_data
from qbmvae.perturbation import audit
from qbmvae.perturbation.files import load_model
from qbmvae.perturbation.scoring import scores
from samplers.errors import InputError, nearest

SCORERS = ("cell-eval", "cell-eval2")


def evaluate_files(
    predicted: Path,
    observed: Path,
    pert_key: str | None = None,
    control: str | None = None,
    baseline: Path | None = None,
    *,
    n_control: int | None = None,
    real_controls: bool = False,
    scorer: str = "cell-eval",
    seed: int = 0,
    out: Path | None = None,
) -> dict[str, Any]:
    """Return the scores; a run folder predicts the observed perturbations, as many cells, from the observed controls.

    Parameters
    ----------
    predicted, observed
        Files of cells; a run folder predicts for itself.
    pert_key, control
        Column and label of the controls; the run's, or the challenge's, by default.
    baseline
        A baseline's predictions, for scaled scores.
    n_control
        Control cells to test against; all by default.
    scorer
        Of `SCORERS`.
    seed
        Of the cells drawn.
    out
        Folder for the results; none by default.
    real_controls
        Whether the observed controls take the place of the predicted ones.

    Raises
    ------
    InputError
        For an unknown scorer, or observed cells without controls or without others.
    """
    if scorer not in SCORERS:
        raise InputError(f"scorer {scorer!r}{nearest(scorer, SCORERS)}")
    truth = read_data(observed)
    if predicted.is_dir():
        model = load_model(predicted)
        pert_key, control = pert_key or model.pert_key, control or model.control
        model.pert_key, model.control = pert_key, control
        names = audit.labels(truth, pert_key, str(observed))
        audit.require_control(names, control, pert_key, str(observed))
        audit.require_perturbed(names, control, pert_key, str(observed))
        truth, x = model.expression(truth, str(observed))
        cells = control_cells(truth, model, str(observed))
        sizes = truth.obs[pert_key].astype(str).value_counts().drop(control).to_dict()
        guess = model.predict(sizes, cells, seed=seed)
        if scorer == "cell-eval":
            truth = truth.copy()
            truth.X = x
    else:
        guess = read_data(predicted)
    pert_key, control = pert_key or "target_gene", control or "non-targeting"
    if scorer == "cell-eval2":
        from experiments.perturbation.scorer2 import scores_2026, with_controls_of

        if real_controls:
            guess = with_controls_of(guess, truth, pert_key, control)
        metrics = scores_2026(guess, truth, pert_key, control, seed=seed)
    else:
        reference = read_data(baseline) if baseline else None
        more: dict[str, Any] = {"n_control": n_control, "real_controls": real_controls, "seed": seed}
        metrics = scores(guess, truth, pert_key, control, reference, **more)
        table = metrics.pop("per_perturbation").assign(fdr=metrics.pop("fdr_per_perturbation"))
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            run_folder.write_text(out / "per_perturbation.csv", table.to_csv())
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        run_folder.write_json(out / "metrics.json", metrics)
    return metrics
