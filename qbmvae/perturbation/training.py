"""Training of the delta predictor: warm start, validation, early stopping, refit on all groups, resumption.

Parameters
----------
predictor
    The delta predictor.
source
    Groups of cells.
index
    Positions of groups.
options
    How to train.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from qbmvae.core.training.loop import Loop
from qbmvae.perturbation.batches import Batch, Source
from qbmvae.perturbation.delta import DeltaPredictor
from qbmvae.perturbation.linear import KEPT_GAIN, ridge
from qbmvae.perturbation.losses import affected_genes_loss, discrimination_loss, squared_error
from qbmvae.perturbation.options import Options
from samplers.errors import InputError

SCALES = np.linspace(0.0, 1.5, 31)


def standardise(predictor: DeltaPredictor, source: Source, index: np.ndarray, *, outputs: bool) -> None:
    """Set the predictor's input scale, and with `outputs` that of its deltas, from the training groups.

    Parameters
    ----------
    outputs
        Whether to set the scale of the deltas.
    """
    h = source.mean_h()[index][:, : predictor.width]
    predictor.mean = h.mean(0)
    # one spread for all inputs: a spread each would amplify directions that hold only noise
    predictor.spread = (h - h.mean(0)).square().mean().sqrt().clamp_min(1e-6).expand(h.shape[1]).clone()
    if outputs:
        predictor.scale = source.target[index].square().mean().sqrt().clamp_min(1e-8)


def ridge_start(predictor: DeltaPredictor, source: Source, index: np.ndarray, folds: np.ndarray) -> float:
    """Set the linear bypass to the ridge regression of the deltas on the backbone's linear columns; return the penalty.

    Parameters
    ----------
    folds
        What is left out together, a label of each group.

    Raises
    ------
    InputError
        Without a linear bypass.
    """
    if predictor.linear is None:
        raise InputError('a ridge start needs a linear bypass: choose bypass="linear" or "mlp"')
    whole = source.mean_h()[index]
    own, h = whole[:, predictor.width :], ((whole[:, : predictor.width] - predictor.mean) / predictor.spread).numpy()
    target = source.target[index] - own if own.shape[1] else source.target[index]
    # only what describes the perturbation: a few contexts cannot tell a linear map how the basal state matters
    columns = source.backbone.linear_columns()
    solution = ridge(h[:, columns], (target / predictor.scale).numpy(), folds[index], kept_gain=KEPT_GAIN)
    with torch.no_grad():
        predictor.linear.weight[:, columns] = torch.from_numpy(solution.weights.T).float()
        predictor.linear.bias.copy_(torch.from_numpy(solution.intercept - solution.mean @ solution.weights))
    return solution.penalty


def _loss_of(predictor: DeltaPredictor, batch: Batch, options: Options) -> torch.Tensor:
    """Return the training loss of a batch, in units of the deltas' mean square."""
    predicted, target = predictor(batch.h) / predictor.scale, batch.target / predictor.scale
    weights = 1 + options.deg_weights * batch.significance.clamp(max=10.0) if options.deg_weights else None
    loss = squared_error(predicted, target, weights)
    if options.contrastive:
        loss = loss + options.contrastive * discrimination_loss(predicted, target, batch.labels)
    if options.ranking:
        loss = loss + options.ranking * affected_genes_loss(predicted, batch.significance)
    return loss


@torch.no_grad()
def validation_loss(predictor: DeltaPredictor, source: Source, index: np.ndarray) -> tuple[float, float]:
    """Return (squared error in units of the deltas' mean square, ranking loss) on held-out groups."""
    predictor.eval()
    predicted, target = predictor(source.mean_h()[index]) / predictor.scale, source.target[index] / predictor.scale
    rank = discrimination_loss(predicted, target, source.labels[index])
    return float(squared_error(predicted, target)), float(rank)


def _optimiser(predictor: DeltaPredictor, source: Source, options: Options) -> torch.optim.Optimizer:
    rate = options.learning_rate
    own = [p for p in predictor.parameters() if p.requires_grad]
    sets: list[dict[str, Any]] = [{"params": own, "lr": rate}]
    tuned = [p for part in options.tune for p in source.backbone.parts(part)]
    for parameter in source.backbone.parameters():
        parameter.requires_grad_(any(parameter is p for p in tuned))
    if tuned:
        sets.append({"params": tuned, "lr": rate / 10})
    return torch.optim.AdamW(sets, weight_decay=options.weight_decay)


def rate_factor(step: int, total: int, options: Options) -> float:
    """Return the factor on the learning rate: linear warm-up, then constant or cosine to zero.

    Parameters
    ----------
    step, total
        Steps done, and steps of the schedule.
    """
    warm = max(1, round(options.warm_up * total))
    if step < warm and options.warm_up:
        return (step + 1) / warm
    if options.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, total - warm))))


def run(
    predictor: DeltaPredictor,
    source: Source,
    index: np.ndarray,
    held_out: np.ndarray,
    options: Options,
    *,
    epochs: int,
    seed: int,
    stage: str,
    report: Callable[[dict[str, Any]], None] | None = None,
    checkpoint: dict[str, Any] | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """Train on the groups of `index`; return the history and the best epoch by the loss on `held_out`.

    With held-out groups the weights of the best epoch are restored, epoch 0 being the start. Randomness depends on
    (seed, epoch) alone, so that a run that goes on from a checkpoint ends where an uninterrupted one does; torch's global
    generator is left as it was.

    Parameters
    ----------
    predictor
        Trained in place, together with the parts of the backbone that `options.tune` names.
    source
        Groups of cells.
    index, held_out
        Positions of the groups to train on and to validate on; without any of these nothing is validated.
    options
        How to train.
    epochs
        At most as many; the schedule of the learning rate spans `options.epochs`.
    seed
        Of batches and dropout.
    stage
        Name of this training in the history and in checkpoints.
    report
        Called with each epoch's row of the history.
    checkpoint
        Of `Loop`: `checkpoint` (the file), `identity`, `notes`; nothing is written without it.
    """
    optimiser = _optimiser(predictor, source, options)
    networks = torch.nn.ModuleDict({"predictor": predictor, "backbone": source.backbone})
    loop = Loop(
        networks, epochs, patience=(options.patience or None) if len(held_out) else None, min_delta=1e-6,
        parts={"optimiser": optimiser}, checkpoint_every=10, stage=stage, **(checkpoint or {}),
    )  # fmt: skip
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    n_rows = len(index) if options.pseudobulk else sum(len(source.groups.rows[i]) for i in index)
    n_batches = max(1, math.ceil(n_rows / options.batch_size))
    draw = source.groups_epoch if options.pseudobulk else source.cells_epoch

    def descend(batch: Batch, step: int) -> float:
        # the schedule always spans options.epochs, so that a refit repeats the path of the validated run
        factor = rate_factor(step, n_batches * options.epochs, options)
        for group, base in zip(optimiser.param_groups, (1.0, 0.1), strict=False):
            group["lr"] = options.learning_rate * base * factor
        optimiser.zero_grad(set_to_none=True)
        loss = _loss_of(predictor, batch, options)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimiser.step()
        return float(loss.detach())

    def judge(**epoch: int) -> dict[str, float]:
        error, rank = validation_loss(predictor, source, held_out)
        loop.judge(error + options.contrastive * rank, **epoch)
        return {"validation_error": error, "validation_ranking": rank}

    with torch.random.fork_rng(devices=[]):
        if not loop.resume() and len(held_out):
            judge(epoch=0)
        while loop.running:
            rng = np.random.default_rng([seed, loop.epoch + 1])
            torch.manual_seed(int(rng.integers(2**31)))
            predictor.train()
            batches = enumerate(draw(index, options.batch_size, rng), start=loop.epoch * n_batches)
            values = {"loss": float(np.mean([descend(batch, step) for step, batch in batches]))}
            if len(held_out):
                if source.tuned:
                    source.refresh(seed)
                values |= judge()
            loop.record(values)
            loop.advance()
            if report:
                report({"stage": stage, "epoch": loop.epoch, **values})
    loop.restore_best()
    predictor.eval()
    columns = {name: [value for _, value in points] for name, points in loop.history.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    history = [{"stage": stage, "epoch": epoch, **row} for epoch, row in enumerate(rows, start=1)]
    return history, loop.best_epoch if len(held_out) else epochs


@torch.no_grad()
def best_scale(predictor: DeltaPredictor, source: Source, index: np.ndarray) -> float:
    """Return the factor in [0, 1.5] on the deltas with the least absolute error on the groups of `index`."""
    predicted, target = predictor(source.mean_h()[index]), source.target[index]
    errors = [float((float(scale) * predicted - target).abs().mean()) for scale in SCALES]
    return float(SCALES[int(np.argmin(errors))])
