"""A training run: hold out, fit, save, score, report, in one folder that can be resumed.

Parameters
----------
config, out
    The run's configuration and folder.
progress
    Takes a line of progress.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments import run_folder
from experiments.perturbation.config import TrainConfig
from experiments.perturbation.distribution_table import MIN_CELLS, cells_of, controls, distribution_scores, summary
from experiments.perturbation.distribution_table import verdict as distribution_verdict
from experiments.perturbation.evaluate import evaluate, verdict
from experiments.perturbation.report import train_report
from experiments.perturbation.scorer2 import scores_2026
from experiments.perturbation.splits import Split, split
from qbmvae import fingerprint
from qbmvae.perturbation import audit, boltzmann
from qbmvae.perturbation.boltzmann.options import WAYS, BoltzmannOptions
from qbmvae.perturbation.files import load_model
from qbmvae.perturbation.fitting import fit, training_groups
from qbmvae.perturbation.groups import Groups
from qbmvae.perturbation.model import PerturbationModel
from samplers.errors import InputError, MissingExtraError
from samplers.files import write_atomically

if TYPE_CHECKING:
    from anndata import AnnData

METRICS = "metrics.json"
CHECKPOINT, DATA = "checkpoint.pt", "data.json"
# control cells kept in the run folder to predict from
KEPT_CONTROLS = 2000
Progress = Callable[[str], None]
Model = PerturbationModel | boltzmann.BoltzmannPerturbation


def read_data(path: str | Path, genes: str | None = None) -> AnnData:
    """Read an .h5ad, with the genes of a list where one is given.

    Raises
    ------
    InputError
        Where the file is not there or cannot be read.
    """
    import anndata as ad

    from experiments.perturbation.challenge import read_gene_list

    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file {path}")
    try:
        adata = ad.read_h5ad(path)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a readable .h5ad file: {error}") from None
    if genes is not None:
        adata = adata[:, audit.match_genes(adata, read_gene_list(genes), str(path), "the gene list")].copy()
    return adata


def make_split(config: TrainConfig, adata: AnnData) -> Split:
    """Return the masks of training and test cells."""
    labels = audit.labels(adata, config.pert_key, config.data)
    audit.require_control(labels, config.control, config.pert_key, config.data)
    audit.require_perturbed(labels, config.control, config.pert_key, config.data)
    contexts = audit.labels(adata, config.context_key, config.data) if config.context_key else None
    return split(
        labels,
        config.control,
        config.resolved_holdout(),
        contexts=contexts,
        values=list(config.holdout_values),
        share=config.share,
        separator=config.separator,
        seed=config.seed,
    )


def train_run(config: TrainConfig, out: str | Path, progress: Progress = lambda _: None) -> dict[str, Any]:
    """Train, save and score in the folder `out`; a stopped run goes on from its last checkpoint.

    Writes config.yaml, versions.json, history.csv, model.safetensors, model.json, controls.h5ad, metrics.json,
    per_perturbation.csv, figures and report.html; returns the metrics.
    """
    out = Path(out)
    config = replace(config, data=str(Path(config.data).resolve()))
    # a wrong option is named before anything is read
    config.resolved_options()
    adata = read_data(config.data, config.genes)
    parts = make_split(config, adata)
    is_new = not out.exists()
    same_data(out, adata, config)
    run_folder.create(out, config.to_dict(), started=_started(out))
    run_folder.write_json(out / DATA, data_identity(adata, config))
    with run_folder.undo_on_error(out, keep_if=lambda: _started(out) or not is_new):
        return _fill(config, out, adata, parts, progress)


def data_identity(adata: AnnData, config: TrainConfig) -> dict[str, str]:
    """Return fingerprints of what a run read: names, expression, perturbations and contexts of the cells."""
    columns = [key for key in (config.pert_key, config.context_key) if key]
    return {
        "cells and genes": fingerprint.of_all(adata.obs_names, adata.var_names),
        "expression": fingerprint.of_all(adata.X),
        "labels": fingerprint.of_all(*(adata.obs[key].astype(str) for key in columns)),
    }


def same_data(out: Path, adata: AnnData, config: TrainConfig) -> None:
    """Raise InputError where a folder's run read other data.

    Parameters
    ----------
    adata
        The cells that were read now.

    Raises
    ------
    InputError
        Names what has changed.
    """
    if not (out / DATA).is_file():
        return
    before, now = run_folder.read_json(out / DATA), data_identity(adata, config)
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        raise InputError(
            f"{config.data} holds other {' and other '.join(changed)} than when {out} was started: give the same data, or "
            "another --out"
        )


def _started(out: Path) -> bool:
    return any((out / name).is_file() for name in (CHECKPOINT, "model.json"))


def _fill(config: TrainConfig, out: Path, adata: AnnData, parts: Split, progress: Progress) -> dict[str, Any]:
    train, test = adata[parts.train].copy(), adata[parts.test].copy()
    checkpoint = out / CHECKPOINT
    if (out / "model.json").is_file():
        model = load_model(out)
    else:
        progress(f"training on {train.n_obs:,} cells, hold-out: {config.resolved_holdout()}")
        model = _trained(config, train, checkpoint, progress)
        _write_controls(model, train, out)
        run_folder.write_text(out / "history.csv", pd.DataFrame(model.history).to_csv(index=False))
        model.save(out)
    checkpoint.unlink(missing_ok=True)
    return score_run(config, out, model, train, test, parts, progress)


def _trained(config: TrainConfig, train: AnnData, checkpoint: Path, progress: Progress) -> Model:
    common: dict[str, Any] = {
        "pert_key": config.pert_key,
        "control": config.control,
        "features": config.features,
        "separator": config.separator,
        "seed": config.seed,
    }
    options = config.resolved_options()
    if isinstance(options, BoltzmannOptions):
        return boltzmann.fit(
            train,
            options=options,
            context_key=config.context_key,
            report=lambda row: progress(f"{row['stage']} step {row['epoch']}: {row['loss']:.4f}"),
            **common,
        )
    return fit(
        train,
        options=options,
        backbone=config.backbone,
        context_key=config.context_key,
        report=lambda row: (
            progress(f"{row['stage']} epoch {row['epoch']}: loss {row['loss']:.4f}") if row["epoch"] % 10 == 0 else None
        ),
        checkpoint=checkpoint,
        **common,
    )


def score_run(
    config: TrainConfig, out: Path, model: Model, train: AnnData, test: AnnData, parts: Split, progress: Progress
) -> dict[str, Any]:
    """Score the run's model and the baselines, and write metrics and report.

    Parameters
    ----------
    model
        The fitted predictor.
    train, test, parts
        Cells of each side, and the split.
    """
    cells, x = model.expression(train, "train")
    groups = training_groups(cells, x, config.pert_key, config.control, config.context_key, config.seed)
    metrics: dict[str, Any] = {
        "holdout": config.resolved_holdout(),
        "held_out": parts.held_out[:500],
        "seed": config.seed,
        "preset": config.preset,
        "n_trainable": model.n_trainable,
        "notes": model.notes,
    }
    effects = None
    if parts.test.any():
        progress("scoring the held-out cells and the baselines")
        predicted: dict[str, AnnData] = {}
        on_cells = predicted.__setitem__
        result = evaluate(model, test, groups, n_control=config.n_control, seed=config.seed, on_cells=on_cells)
        effects = result.pop("effects")
        tables = result.pop("per_perturbation")
        rows = [pd.DataFrame(table).assign(predictor=name) for name, table in tables.items()]
        run_folder.write_text(out / "per_perturbation.csv", pd.concat(rows).to_csv(index=False))
        metrics |= result | {"verdict": verdict(result | {"per_perturbation": tables})}
        metrics |= {k: v for k, v in result["model"].items() if not k.endswith("_se")}
        metrics["challenge_2026"] = _challenge_2026(config, model, test, predicted, progress)
        metrics["distribution"] = _distribution(config, out, model, (x, train), test, groups, progress)
    run_folder.write_json(out / METRICS, metrics)
    train_report(out, config, model, metrics, effects)
    return metrics


def _challenge_2026(
    config: TrainConfig, model: Model, test: AnnData, predicted: dict[str, AnnData], progress: Progress
) -> dict[str, dict[str, Any]] | None:
    """Return cell-eval2's scores of each predictor with their time and memory; None, and a line why, where it cannot score."""
    try:
        cells, _ = model.expression(test, "test")
        found = {
            name: scores_2026(guess, cells, config.pert_key, config.control, seed=config.seed)
            for name, guess in predicted.items()
        }
    except (MissingExtraError, InputError) as error:
        progress(f"without the scores of 2026: {error}")
        return None
    return found


def _distribution(
    config: TrainConfig,
    out: Path,
    model: Model,
    train: tuple[Any, AnnData],
    test: AnnData,
    groups: Groups,
    progress: Progress,
) -> dict[str, Any] | None:
    """Compare predicted cells with held-out ones as distributions; None where no perturbation has cells enough."""
    labels = audit.labels(test, config.pert_key)
    names, counts = np.unique(labels[labels != config.control], return_counts=True)
    sizes = {str(n): int(-(-c // 2)) for n, c in zip(names, counts, strict=True) if c >= MIN_CELLS}
    if not sizes:
        progress(f"no perturbation has {MIN_CELLS} held-out cells: distributions are not compared")
        return None
    _, x = model.expression(test, "test")
    rows = np.flatnonzero(labels == config.control)
    train_labels = audit.labels(train[1], config.pert_key)
    predictors = controls(train[0], train_labels, x[rows], groups, model.features, config.control, config.seed)
    hows: tuple[str | None, ...] = (None,)
    if isinstance(model, boltzmann.BoltzmannPerturbation):
        hows = (*WAYS, "mixture") if model.options.how == "mixture" else WAYS
    for how in hows:
        more: dict[str, Any] = {} if how is None else {"how": how}
        predicted = model.predict(sizes, test[rows], n_control=1, seed=config.seed, **more)
        _, made = model.expression(predicted, "predicted")
        predictors[f"model ({how})" if how else "model"] = cells_of(predicted, made, config.pert_key)
    table = distribution_scores(predictors, x, labels, config.control, seed=config.seed, progress=progress)
    run_folder.write_text(out / "distribution.csv", table.to_csv(index=False))
    own = f"model ({model.options.how})" if isinstance(model, boltzmann.BoltzmannPerturbation) else "model"
    return {"own": own, "scores": summary(table).to_dict("records"), "verdict": distribution_verdict(table, own)}


def _write_controls(model: Model, train: AnnData, out: Path) -> None:
    """Keep up to 2,000 control cells as they came (counts where the data are counts)."""
    rows = np.flatnonzero((train.obs[model.pert_key].astype(str) == model.control).to_numpy())
    if rows.size > KEPT_CONTROLS:
        rows = np.sort(np.random.default_rng(model.seed).choice(rows, KEPT_CONTROLS, replace=False))
    kept = train[rows].copy()
    kept.raw, kept.uns = None, {}
    write_atomically(out / "controls.h5ad", lambda p: kept.write_h5ad(p, compression="lzf"))
