"""One training run, from a file of counts to a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import run_folder
from experiments.data.datasets import read_h5ad, select_hvgs
from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


def train_run(
    out: str | Path,
    data: str | Path,
    setup: dict[str, Any],
    model: dict[str, Any],
    train: dict[str, Any],
    seed: int = 0,
    n_top_genes: int | None = None,
    progress: bool = True,
    report: bool = True,
) -> dict[str, Any]:
    """Train a model on a file and fill a run folder.

    Parameters
    ----------
    out
        The run folder, new or empty.
    data
        An .h5ad file of counts.
    setup, model, train
        Arguments of `QBMVAE.setup_anndata`, `QBMVAE` and `QBMVAE.train`.
    seed
        Seed of everything random.
    n_top_genes
        Train on that many highly variable genes; on all by default.
    progress
        Whether to show a progress bar on stderr.
    report
        Whether to write report.html.

    Returns
    -------
    dict
        The metrics that are also in metrics.json.
    """
    config = {
        "data": str(Path(data).resolve()),
        "n_top_genes": n_top_genes,
        "setup": setup,
        "model": model,
        "train": train,
        "seed": seed,
    }
    adata = _prepared(config)
    made = _model(adata, config)
    path = run_folder.fresh_folder(out)
    with run_folder.undo_on_error(path, keep_if=lambda: _checkpointed(path)):
        run_folder.start(path, {**config, "fingerprint": run_folder.data_fingerprint(adata)})
        made.train(**train, seed=seed, checkpoint_dir=path / "checkpoint", progress_bar=progress)
        return finish(path, made, adata, config, report)


def resume_run(path: str | Path, progress: bool = True, report: bool = True) -> dict[str, Any]:
    """Go on with an unfinished run, to the bit as if it had never stopped; a finished one is left as it is.

    Raises
    ------
    InputError
        For a folder that is no run, or data that have changed.
    """
    path = Path(path)
    config = run_folder.open_run(path, complete=False)
    if config["status"]["state"] == "complete":
        run_folder.open_run(path)
        return run_folder.read_json(path / run_folder.METRICS)
    adata = _prepared(config)
    if run_folder.data_fingerprint(adata) != config.get("fingerprint"):
        raise InputError(f"{config['data']} has changed since {path} began: its cells or genes have other names")
    model = _model(adata, config)
    options: dict[str, Any] = {"checkpoint_dir": path / "checkpoint"}
    if _checkpointed(path):
        options = {"resume_from": path / "checkpoint"}
    model.train(**{**config["train"], **options}, seed=config["seed"], progress_bar=progress)
    return finish(path, model, adata, config, report)


def _checkpointed(path: Path) -> bool:
    from qbmvae.core.training import checkpoint

    return (path / "checkpoint" / checkpoint.NAME).is_file()


def _prepared(config: dict[str, Any]) -> AnnData:
    adata = read_h5ad(config["data"])
    if config["n_top_genes"] is None:
        return adata
    if config["n_top_genes"] < 1:
        raise InputError(f"n-top-genes must be at least 1, not {config['n_top_genes']}")
    return select_hvgs(adata, config["n_top_genes"], config["setup"].get("batch_key"), config["setup"].get("layer"))


def _model(adata: AnnData, config: dict[str, Any]) -> Any:
    from qbmvae import QBMVAE

    QBMVAE.setup_anndata(adata, **config["setup"])
    return QBMVAE(adata, **config["model"])


def finish(path: Path, model: Any, adata: AnnData, config: dict[str, Any], report: bool) -> dict[str, Any]:
    """Write model, curves, embedding, metrics and report of a trained model into its run folder."""
    model.save(path / "model", overwrite=True)
    history = run_folder.history_table(model.history)
    run_folder.write_table(path / run_folder.HISTORY, history)
    embedding = model.get_latent_representation()
    run_folder.write_table(path / run_folder.EMBEDDING, run_folder.embedding_table(adata.obs_names, embedding))
    metrics = training_metrics(model, history, adata)
    run_folder.write_json(path / run_folder.METRICS, metrics)
    if report:
        from experiments.report.training import training_report

        shown = {k: v for k, v in config.items() if k != "status"}
        page = training_report(path.name, shown, metrics, history, embedding, adata)
        run_folder.write_text(path / "report.html", page)
    run_folder.write_status(path, "complete", epochs=metrics["epochs"])
    return metrics


def training_metrics(model: Any, history: Any, adata: AnnData) -> dict[str, Any]:
    """Return what a training says of itself: bounds on held-out cells, rate, active bits, sampler."""
    held_out = np.asarray(model.validation_indices)
    metrics: dict[str, Any] = {
        "cells": adata.n_obs,
        "genes": adata.n_vars,
        "latent_dimensions": int(model.module.n_latent),
        "epochs": len(history),
        "training_cells": len(model.train_indices),
        "held_out_cells": len(held_out),
    }
    if len(held_out):
        metrics["held_out_elbo"] = float(model.get_elbo(indices=held_out))
        metrics["held_out_iwae"] = float(model.get_marginal_ll(indices=held_out[:500], n_mc_samples=20))
    for name in ("rate", "active_bits", "sampler_ess"):
        if name in history and history[name].notna().any():
            metrics[name] = float(history[name].dropna().iloc[-1])
    if model.module.vae.prior.discrete:
        value, error = model.get_log_partition()
        metrics["log_partition"], metrics["log_partition_error"] = value, error
    return metrics


def embed_file(
    run: str | Path, data: str | Path, out: str | Path, representation: str = "expression"
) -> tuple[int, int]:
    """Write the embedding of a file's cells by a run's model; return its shape.

    Parameters
    ----------
    run
        A complete run folder.
    data
        The cells.
    out
        The file to write, in the format that its suffix names.
    representation
        As in `QBMVAE.get_latent_representation`.
    """
    adata = read_h5ad(data)
    return run_folder.load_model(run).write_latent_representation(out, adata, representation)


def report_again(path: str | Path, target: str | Path) -> None:
    """Write the report of a complete run anew from what its folder and its data file hold."""
    import pandas as pd

    from experiments.report.training import training_report

    path = Path(path)
    config = run_folder.open_run(path)
    adata = read_h5ad(config["data"])
    try:
        embedding = pd.read_parquet(path / run_folder.EMBEDDING)
        history = pd.read_csv(path / run_folder.HISTORY, index_col="epoch")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())}; train again") from None
    if not embedding.index.isin(adata.obs_names).all():
        raise InputError(f"{config['data']} no longer holds the cells of {path}")
    adata = adata[embedding.index]
    shown = {k: v for k, v in config.items() if k != "status"}
    metrics = run_folder.read_json(path / run_folder.METRICS)
    run_folder.write_text(target, training_report(path.name, shown, metrics, history, embedding.to_numpy(), adata))
