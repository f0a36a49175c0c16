"""The family of commands about perturbation response: `train` and `predict` are here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from cyclopts.validators import Number

from experiments import config as reader
from experiments.cli import checks, perturb_scores
from experiments.cli.common import DATA, DEFAULTS, MODEL, Common, Injected, Positive, Settings, Words, use_threads
from samplers.errors import InputError

perturb = App(
    name="perturb",
    help="Response to perturbations: the hybrid delta predictor and the official scores.\n\n"
    "Example: qbmvae perturb train papalexi.h5ad --pert-key perturbation --control control --out pert1",
)
perturb_scores.register(perturb)


def register(app: App) -> None:
    """Add this family's commands to `app`."""
    app.command(perturb)


@Parameter(name="*", group=DATA)
@dataclass(frozen=True, kw_only=True)
class Screen:
    """What the data say.

    Parameters
    ----------
    pert_key
        obs column with each cell's perturbation; target_gene by default.
    control
        Label of the control cells; non-targeting by default.
    context_key
        obs column with replicates, patients or cell lines.
    separator
        Joins the parts of a combination's label; + by default.
    genes
        Gene list (CSV): keep these genes, in this order.
    features
        Vectors of perturbations: a file, "genes" or "one-hot" (the default).
    """

    pert_key: str | None = None
    control: str | None = None
    context_key: str | None = None
    separator: str | None = None
    genes: Path | None = None
    features: str | None = None


@Parameter(name="*", group="Held-out cells")
@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What is held out and scored.

    Parameters
    ----------
    holdout
        What kind of cells to hold out; auto takes unseen perturbations where features can describe them, an unseen
        context where --context-key is given, else unseen cells.
    holdout_values
        Which of them to hold out; a random share by default.
    share
        Share to hold out where no values are given; 0.2 by default.
    n_control
        Control cells to score against; 200 by default.
    """

    holdout: Literal["auto", "perturbations", "context", "combinations", "cells", "none"] | None = None
    holdout_values: Words = ()
    share: float | None = None
    n_control: Positive | None = None


@Parameter(name="*", group=MODEL)
@dataclass(frozen=True, kw_only=True)
class Predictor:
    """The predictor.

    Parameters
    ----------
    backbone
        What encodes control cells: pca (the default), none, qbmvae, or the folder of a STATE run.
    preset
        A set of options: default, prototype, bandwidth, or phase-0 to phase-5; boltzmann for a conditional Boltzmann
        machine over the bits of a QBM-VAE, gaussian for its continuous twin (both want counts in X).
    max_epochs
        Most epochs.
    """

    backbone: str | None = None
    preset: str | None = None
    max_epochs: Annotated[int, Parameter(name=("--max-epochs", "--epochs"), validator=Number(gte=1))] | None = None


@perturb.command
def train(
    data: Path | None = None,
    /,
    *,
    out: Path | None = None,
    resume: Path | None = None,
    screen: Screen = Screen(),
    held_out: HeldOut = HeldOut(),
    predictor: Predictor = Predictor(),
    seed: int | None = None,
    settings: Injected = Settings(),
    common: Common = DEFAULTS,
) -> None:
    """Train a predictor, hold perturbations (or cells, or a context) out, and score it and the baselines on them.

    --set and --config also take every option of the predictor: --set n_qubits=16.

    Example: qbmvae perturb train papalexi.h5ad --pert-key perturbation --control control --out pert1

    Parameters
    ----------
    data
        Perturb-seq data, .h5ad; X holds counts or log1p-normalised values.
    out
        The run folder to make.
    resume
        Go on with this stopped run; its own options hold.
    seed
        Seed of everything random; 0 by default.

    Raises
    ------
    InputError
        Where data or folder are missing, or the run is finished.
    """
    if resume is not None:
        checks.unfinished(resume, "metrics.json")
        values, out = reader.read_yaml(resume / "config.yaml"), resume
    else:
        values = _train_settings(data, screen, held_out, predictor, seed, settings)
        if out is None:
            raise InputError("missing option --out (or --resume RUN)")
        if "data" not in values:
            raise InputError("missing argument DATA: an .h5ad file (or --config, or --resume RUN)")
        if (out / "metrics.json").is_file():
            raise InputError(f"{out} holds a finished run: choose another --out")
        checks.folder(out)
    from experiments.perturbation.config import TrainConfig

    config = TrainConfig.from_dict(values)
    config.resolved_options()
    checks.cells(config.data, keys=[config.pert_key, config.context_key])
    checks.files(None if config.genes is None else Path(config.genes))
    use_threads()
    from experiments.perturbation.evaluate import lines
    from experiments.perturbation.runs import train_run

    with checks.resumes(f"qbmvae perturb train --resume {out}", out):
        metrics = train_run(config, out, common.say)
    text = f"report: {out / 'report.html'}"
    if "model" in metrics:
        text = f"{lines(metrics)}\n{text}"
    common.answer(metrics, text)


def _train_settings(
    data: Path | None, screen: Screen, held_out: HeldOut, predictor: Predictor, seed: int | None, settings: Settings
) -> dict[str, Any]:
    """Return the settings of a training run from options, file and overrides; what names no setting is an option."""
    from dataclasses import fields

    from experiments.perturbation.config import TrainConfig

    given = {**vars(screen), **vars(held_out), **vars(predictor), "data": data, "seed": seed}
    epochs = given.pop("max_epochs")
    values = {k: str(v) if isinstance(v, Path) else v for k, v in given.items() if v not in (None, ())}
    rest: dict[str, Any] = {}
    for source in (settings.values, settings.overrides):
        reader.apply(rest, source)
    options = rest.pop("options", None) or {}
    known = {f.name for f in fields(TrainConfig)}
    options |= {k: rest.pop(k) for k in list(rest) if k not in known}
    if epochs is not None:
        options["epochs"] = epochs
    return {**rest, **values, "options": options}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What to predict.

    Parameters
    ----------
    perturbations
        CSV: target_gene and n_cells, or one name a line.
    controls
        .h5ad with the control cells to start from; by default those of training.
    genes
        Gene list (CSV) that fixes the order of genes.
    features
        Vectors of perturbations, where those of training lack some.
    n_cells
        Cells of each perturbation where the CSV does not say.
    n_control
        Control cells to add to the prediction; all by default.
    seed
        Seed of the cells drawn.
    """

    perturbations: Path
    controls: Path | None = None
    genes: Path | None = None
    features: Path | None = None
    n_cells: Positive = 100
    n_control: int | None = None
    seed: int = 0


@Parameter(name="*", group="Runs of --preset boltzmann")
@dataclass(frozen=True, kw_only=True)
class Making:
    """How a conditional machine makes cells.

    Parameters
    ----------
    how
        generate draws cells of the condition, transport moves the control cells' bits and counts, shift their counts
        alone, mixture makes some in each way; as the run was trained by default.
    dose
        Factor on the perturbation's shift: 0 makes control cells, 1 (the default) the perturbation.
    mean
        ridge moves the cells' mean expression to the shift that ridge regression predicts, decoder leaves it.
    clamp
        Bits to hold, each BIT=0 or BIT=1.
    """

    how: Literal["generate", "transport", "shift", "mixture"] | None = None
    mean: Literal["ridge", "decoder"] | None = None
    dose: float | None = None
    clamp: Words = ()


@perturb.command
def predict(run: Path, /, *, out: Path, wanted: Wanted, making: Making = Making(), common: Common = DEFAULTS) -> None:
    """Predict cells of perturbations; `cell-eval prep` takes the file.

    Example: qbmvae perturb predict pert1 --perturbations wanted.csv --out predicted.h5ad

    Parameters
    ----------
    run
        A run folder of `qbmvae perturb train`.
    out
        The .h5ad file to write.

    Raises
    ------
    InputError
        Where an option belongs to another kind of model.
    """
    checks.suffix(out, (".h5ad",))
    checks.finished(run, "model.json", "qbmvae perturb train")
    checks.files(wanted.perturbations, wanted.controls, wanted.genes, wanted.features)
    use_threads()
    from experiments.perturbation.challenge import control_cells, predict_file, read_gene_list, read_perturbations
    from experiments.perturbation.runs import read_data
    from qbmvae.perturbation.boltzmann import BoltzmannPerturbation
    from qbmvae.perturbation.features import read_features
    from qbmvae.perturbation.files import load_model

    model = load_model(run)
    given = {"how": making.how, "mean": making.mean, "dose": making.dose, "clamp": _bits(making.clamp)}
    more: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if more and not isinstance(model, BoltzmannPerturbation):
        raise InputError(f"--{next(iter(more))} belongs to runs of --preset boltzmann; {run} is a delta predictor")
    if wanted.features is not None:
        model.use_features(read_features(wanted.features, model.features.separator))
    sizes = read_perturbations(wanted.perturbations, wanted.n_cells)
    order = read_gene_list(wanted.genes) if wanted.genes else None
    source = wanted.controls or run / "controls.h5ad"
    cells = control_cells(read_data(source), model, str(source))
    common.say(f"predicting {len(sizes)} perturbations")
    predicted = predict_file(
        model, sizes, cells, out, genes=order, n_control=wanted.n_control, seed=wanted.seed, **more
    )
    result = {"n_cells": predicted.n_obs, "n_perturbations": len(sizes), "out": str(out)}
    common.answer(result, f"{predicted.n_obs:,} cells of {len(sizes)} perturbations and controls: {out}")


def _bits(words: Sequence[str]) -> dict[int, int] | None:
    out = {}
    for word in words:
        bit, _, value = word.partition("=")
        if not (bit.strip().isdigit() and value.strip() in ("0", "1")):
            raise InputError(f"--clamp {word!r}: write BIT=0 or BIT=1, such as 3=1")
        out[int(bit)] = int(value)
    return out or None
