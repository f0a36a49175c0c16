"""Fitting the delta predictor to a user's screen.

Parameters
----------
adata
    Perturbed and control cells.
x
    Their log1p-normalised expression, `(n_cells, n_genes)`.
labels
    Each cell's perturbation.
pert_key, control, context_key, separator, features
    As in `fit`.
seed
    Of everything random.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qbmvae import fingerprint
from qbmvae.core.training import checkpoint as checkpoints
from qbmvae.perturbation import audit, training
from qbmvae.perturbation.backbones import Backbone
from qbmvae.perturbation.backbones.local import LocalBackbone
from qbmvae.perturbation.batches import Source
from qbmvae.perturbation.delta import DeltaPredictor
from qbmvae.perturbation.features import Features, gene_embeddings, one_hot, read_features
from qbmvae.perturbation.groups import Groups, group, random_contexts
from qbmvae.perturbation.model import SET_SIZE, PerturbationModel
from qbmvae.perturbation.options import Options, preset

if TYPE_CHECKING:
    from anndata import AnnData

# where no context column is given, the cells of each perturbation are dealt into this many pseudo-replicates
SHARES = 3
# most principal components of the cells and of the features that a local backbone keeps
N_BASAL, N_FEATURES = 16, 64


def training_groups(
    adata: AnnData, x: Any, pert_key: str, control: str, context_key: str | None = None, seed: int = 0
) -> Groups:
    """Return the groups on which `fit` trains: contexts of obs[context_key], else random shares of the cells."""
    labels = audit.labels(adata, pert_key)
    contexts = audit.labels(adata, context_key) if context_key else None
    if contexts is None or len(np.unique(contexts)) < 2:
        contexts = random_contexts(labels, SHARES, seed)
    return group(x, labels, contexts, control)


def resolve_features(
    features: Features | str | Path | None, adata: AnnData, labels: np.ndarray, control: str, x: Any, separator: str
) -> Features:
    """Return a table of features: None or "one-hot", "genes" (embeddings of the measured genes), or a file."""
    perturbed = np.unique(labels[labels != control])
    if isinstance(features, Features):
        table = features
    elif features is None or features == "one-hot":
        table = one_hot(perturbed, separator)
    elif features == "genes":
        table = gene_embeddings(x[labels == control], adata.var_names, separator=separator)
    else:
        table = read_features(features, separator)
    return table


def _make_backbone(
    backbone: str | Path | Backbone,
    adata: AnnData,
    x: Any,
    labels: np.ndarray,
    control: str,
    table: np.ndarray,
    one_hot_table: bool,
    seed: int,
) -> Backbone:
    """Return the backbone: "none", "pca", "qbmvae", a STATE run directory, or an object.

    `table` (P, n_features) are the training perturbations' features, from which a local backbone learns its reduction.
    """
    if isinstance(backbone, Backbone):
        return backbone
    if str(backbone) not in ("none", "pca", "qbmvae"):
        from qbmvae.perturbation.backbones.state import load_state

        return load_state(backbone)
    n_features = table.shape[1] if one_hot_table else min(N_FEATURES, table.shape[1], max(1, len(table) - 1))
    embedder, n_basal = None, 0
    if backbone == "qbmvae":
        from qbmvae.perturbation.backbones.embedding import QBMVAEEmbedder

        embedder = QBMVAEEmbedder.fit(adata, seed=seed)
        n_basal = embedder.width
    elif backbone == "pca":
        n_basal = min(N_BASAL, x.shape[0] - 1, x.shape[1])
    local = LocalBackbone(str(backbone), x.shape[1], n_basal, table.shape[1], n_features)
    local.embedder = embedder
    local.fit_cells(adata, x, np.flatnonzero(labels == control))
    local.fit_features(table, centre=not one_hot_table)
    return local


def fit(
    adata: AnnData,
    *,
    pert_key: str = "target_gene",
    control: str = "non-targeting",
    features: Features | str | Path | None = None,
    backbone: str | Path | Backbone = "pca",
    options: Options | str = "default",
    context_key: str | None = None,
    separator: str = "+",
    seed: int = 0,
    report: Callable[[dict[str, Any]], None] | None = None,
    checkpoint: Path | None = None,
) -> PerturbationModel:
    """Train a delta predictor.

    Parameters
    ----------
    adata
        Perturbed and control cells; X holds log1p-normalised expression or counts (normalised to the median total).
    pert_key, control
        Column of obs with each cell's perturbation, and the label of the controls.
    features
        What describes a perturbation: None or "one-hot" (perturbations seen in training only), "genes" (embeddings of
        the measured genes, for perturbations named after them), a file (see `read_features`), or `Features`.
    backbone
        "pca", "none", "qbmvae", the run directory of a STATE model, or a `Backbone`.
    options
        `Options` or the name of a preset.
    context_key
        Column of obs with replicates, patients or cell lines: deltas are formed within each.
    separator
        Joins the names of a combination's parts.
    seed
        Of everything random.
    report
        Called with each epoch's row.
    checkpoint
        File to which the state of training is written every ten epochs, and from which it goes on.

    Raises
    ------
    InputError
        No control cells, a perturbation without features, genes that do not match the backbone, unusable X, a
        checkpoint of other data or options.
    """
    options = preset(options) if isinstance(options, str) else options
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        labels = audit.labels(adata, pert_key)
        audit.require_control(labels, control, pert_key)
        audit.require_perturbed(labels, control, pert_key)
        audit.match_genes(adata, adata.var_names)
        target_sum = audit.median_total(adata)
        x = audit.log_normalised(adata, target_sum=target_sum)
        groups = training_groups(adata, x, pert_key, control, context_key, seed)
        table = resolve_features(features, adata, labels, control, x, separator)
        one_hot_table = table.kind == "one-hot"
        known = np.unique(groups.labels)
        values = table.lookup(known) if not _has_own_vectors(backbone, table) else np.zeros((len(known), 1), np.float32)
        chosen = _make_backbone(backbone, adata, x, labels, control, values, one_hot_table, seed)
        if {"project_out", "final_down_then_up"} & set(options.tune):
            chosen.add_head(adata.var_names.astype(str).tolist())
        basal = chosen.basal(adata, x)
        set_size = min(SET_SIZE, *(len(rows) for rows in groups.control_rows.values()))
        inputs = chosen.perturbation_inputs(table, groups.labels)
        tuned = any(chosen.parts(part) for part in options.tune)
        source = Source(chosen, basal, inputs, groups, x, set_size=set_size, tuned=tuned, seed=seed)
        predictor = DeltaPredictor(chosen.width, adata.n_vars, options, seed)
        folds = groups.contexts if one_hot_table else groups.labels
        saved = None
        if checkpoint is not None:
            identity = {
                "data": fingerprint.of_all(x, adata.var_names, labels, groups.contexts),
                "features": fingerprint.of_all(inputs.numpy(), groups.labels),
                "options": options.to_dict(),
                "seed": seed,
            }
            saved = {"checkpoint": checkpoint, "identity": identity}
        history, notes = _train(predictor, source, folds, options, seed, report, saved)
        notes |= {"features": table.kind, "n_groups": len(groups.labels), "n_perturbations": len(known)}
        genes = adata.var_names.astype(str).tolist()
        return PerturbationModel(
            predictor, chosen, table, genes, pert_key, control, target_sum, options, seed, history, notes
        )


def _has_own_vectors(backbone: Any, table: Features) -> bool:
    return not (isinstance(backbone, str) and backbone in ("none", "pca", "qbmvae")) and table.kind != "file"


def held_out_groups(folds: np.ndarray, seed: int, share: float = 0.15) -> np.ndarray:
    """Return a mask of the groups in a random `share` of the folds (at least one), none where there is one fold only.

    Parameters
    ----------
    folds
        What is held out together, a label of each group.
    share
        Of the folds.
    """
    names = np.unique(folds)
    if len(names) < 2:
        return np.zeros(len(folds), bool)
    chosen = np.random.default_rng(seed).choice(names, max(1, round(share * len(names))), replace=False)
    return np.isin(folds, chosen)


def _train(
    predictor: DeltaPredictor,
    source: Source,
    folds: np.ndarray,
    options: Options,
    seed: int,
    report: Any,
    checkpoint: dict[str, Any] | None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Validate on held-out groups where that is asked for, then train on all groups for as many epochs."""
    everything, factor = np.arange(len(folds)), 1.0
    start = {k: v.clone() for k, v in predictor.state_dict().items()}
    backbone_start = {k: v.clone() for k, v in source.backbone.state_dict().items()}
    history: list[dict[str, Any]] = []
    out = held_out_groups(folds, seed)
    epochs = options.epochs
    common: dict[str, Any] = {"seed": seed, "report": report}
    found = None
    if checkpoint and checkpoint["checkpoint"].is_file():
        found = checkpoints.load(checkpoint["checkpoint"]).get("validated")
    if found is not None:  # the fit stopped after this stage
        history, epochs, factor = found["history"], found["epochs"], found["factor"]
    elif (options.patience or options.global_scale) and out.any():
        index, held = everything[~out], everything[out]
        _start(predictor, source, index, folds, options)
        history, epochs = training.run(
            predictor,
            source,
            index,
            held,
            options,
            epochs=options.epochs,
            stage="validate",
            checkpoint=checkpoint,
            **common,
        )
        if not options.patience:
            epochs = options.epochs
        if options.global_scale:
            factor = training.best_scale(predictor, source, held)
        predictor.load_state_dict(start)
        source.backbone.load_state_dict(backbone_start)
        if source.tuned:
            source.refresh(seed)
        found = {"history": history, "epochs": epochs, "factor": factor}
    notes = _start(predictor, source, everything, folds, options)
    if checkpoint:
        checkpoint |= {"notes": {"validated": found}}
    rows, _ = training.run(
        predictor, source, everything, everything[:0], options,
        epochs=epochs, stage="train", checkpoint=checkpoint, **common,
    )  # fmt: skip
    predictor.factor = torch.tensor(factor)
    return history + rows, notes | {"epochs": epochs, "global_scale": factor}


def _start(
    predictor: DeltaPredictor, source: Source, index: np.ndarray, folds: np.ndarray, options: Options
) -> dict[str, Any]:
    notes: dict[str, Any] = {}
    training.standardise(predictor, source, index, outputs=options.normalise)
    if options.ridge_start and predictor.linear is not None:
        notes["ridge_penalty"] = training.ridge_start(predictor, source, index, folds)
    if options.decoder_from_backbone and predictor.decoder is not None:
        weights = source.backbone.gene_map()
        notes["decoder_columns_from_backbone"] = predictor.copy_gene_map(weights) if weights is not None else 0
    return notes
