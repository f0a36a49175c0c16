"""Fitting a QBM-VAE and its conditional machine to a perturbation screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qbmvae.perturbation import audit
from qbmvae.perturbation.boltzmann.choice import chosen, validated
from qbmvae.perturbation.boltzmann.conditions import reduced
from qbmvae.perturbation.boltzmann.counts import count_matrix
from qbmvae.perturbation.boltzmann.gaussian import fit_gaussian
from qbmvae.perturbation.boltzmann.mean_shift import mean_shift
from qbmvae.perturbation.boltzmann.model import BoltzmannPerturbation
from qbmvae.perturbation.boltzmann.options import BoltzmannOptions
from qbmvae.perturbation.boltzmann.source import encoded
from qbmvae.perturbation.boltzmann.training import train
from qbmvae.perturbation.features import Features
from qbmvae.perturbation.fitting import resolve_features, training_groups

if TYPE_CHECKING:
    from anndata import AnnData

#: Visits to cells of the VAE's training, and most epochs: a small screen needs steps, which are few in an epoch.
VISITS, MOST_EPOCHS = 600_000, 500


def fit(
    adata: AnnData,
    *,
    pert_key: str = "target_gene",
    control: str = "non-targeting",
    features: Features | str | Path | None = None,
    options: BoltzmannOptions | None = None,
    context_key: str | None = None,
    separator: str = "+",
    seed: int = 0,
    report: Callable[[dict[str, Any]], None] | None = None,
) -> BoltzmannPerturbation:
    """Train on perturbed and control cells.

    Parameters
    ----------
    adata
        Cells with counts in X.
    pert_key, control
        Column of obs with each cell's perturbation, and the label of the controls.
    features
        None or "one-hot", "genes", a file, or `Features`; see `qbmvae.perturbation.fit`.
    options
        See `BoltzmannOptions`.
    context_key
        Column of obs with replicates, patients or cell lines: shifts of the mean are taken within each, and cells are made
        by transport unless `options` say otherwise.
    separator
        Joins the names of a combination's parts.
    seed
        Of everything random.
    report
        Called with a row of progress.

    Raises
    ------
    InputError
        No control cells or no others, a perturbation without features, X without counts.
    """
    from qbmvae import QBMVAE

    options = options or BoltzmannOptions()
    labels = audit.labels(adata, pert_key)
    audit.require_control(labels, control, pert_key)
    audit.require_perturbed(labels, control, pert_key)
    audit.unique_genes(adata)
    counts = count_matrix(adata)
    target_sum = audit.median_total(counts) or 1.0
    with torch.random.fork_rng(devices=[]):
        QBMVAE.setup_anndata(counts)
        vae = QBMVAE(
            counts, prior="boltzmann" if options.latent == "bits" else "gaussian", n_latent=options.width,
            n_hidden=options.n_hidden, n_layers=options.n_layers,
        )  # fmt: skip
        epochs = options.epochs or int(np.clip(round(VISITS / counts.n_obs), 20, MOST_EPOCHS))
        vae.train(max_epochs=epochs, kl_weight=options.kl_weight, seed=seed, progress_bar=False)
        q = encoded(vae, counts, options)
    if report:
        report({"stage": "vae", "epoch": epochs, "loss": float(vae.history["elbo_validation"].iloc[-1, 0])})
    x = audit.log_normalised(counts, target_sum=target_sum)
    table = resolve_features(features, adata, labels, control, x, separator)
    names, condition = np.unique(labels, return_inverse=True)
    conditions = reduced(table, names, control)
    history: list[dict[str, Any]] = []

    def row(step: int, error: float) -> None:
        history.append({"stage": "machine", "epoch": step, "loss": error})
        if report:
            report(history[-1])

    if options.latent == "gaussian":
        machine: Any = fit_gaussian(q, condition, conditions.rows(names))
    else:
        machine = train(
            q,
            condition,
            conditions.rows(names),
            rank=options.rank,
            steps=options.steps,
            learning_rate=options.machine_learning_rate,
            n_chains=options.n_chains,
            n_sweeps=options.n_sweeps,
            shift_scale=options.shift_scale,
            seed=seed,
            report=row,
        )
    shift = mean_shift(conditions, training_groups(adata, x, pert_key, control, context_key, seed))
    notes: dict[str, Any] = {"features": table.kind, "n_perturbations": len(names) - 1, "vae_epochs": epochs}
    genes = adata.var_names.astype(str).tolist()
    model = BoltzmannPerturbation(
        vae, machine, conditions, shift, genes, pert_key, control, target_sum, options, seed, history, notes
    )
    if options.how is None:
        model.options, notes["how"] = _ways(model, adata, counts, labels, context_key, epochs, separator, report)
    return model


def _ways(
    model: BoltzmannPerturbation,
    adata: AnnData,
    counts: AnnData,
    labels: np.ndarray,
    context_key: str | None,
    epochs: int,
    separator: str,
    report: Callable[[dict[str, Any]], None] | None,
) -> tuple[BoltzmannOptions, dict[str, Any]]:
    """Return the options of a model with the ways of making cells that suit it, and what they were chosen by."""
    options = model.options
    if options.shares is not None:
        return replace(options, how="mixture"), {"chosen": "mixture"}
    if context_key is None:
        energy = chosen(model, counts, labels, model.seed)
        how = min(energy, key=lambda name: energy[name]) if energy else "transport"
        return replace(options, how=how), {"chosen": how, "energy": energy}
    smaller = replace(options, how="transport", epochs=-(-epochs // 2), steps=-(-options.steps // 2))

    def refit(mask: np.ndarray) -> BoltzmannPerturbation:
        table = model.features if model.features.kind != "one-hot" else None
        more: dict[str, Any] = {"features": table, "context_key": context_key, "separator": separator}
        more |= {"pert_key": model.pert_key, "control": model.control, "seed": model.seed}
        say = report and (lambda row: report({**row, "stage": f"validation, {row['stage']}"}))
        return fit(adata[mask], options=smaller, report=say, **more)

    contexts = audit.labels(adata, context_key)
    found = validated(refit, counts, labels, contexts, model.control, options.folds, model.seed)
    shares = found.get("shares") or {"transport": 1.0}
    if len(shares) == 1:
        return replace(options, how=next(iter(shares))), {"chosen": next(iter(shares)), **found}
    return replace(options, how="mixture", shares=shares), {"chosen": "mixture", **found}
