"""The prior alone, fitted to the codes of a trained model's cells; log Z, measured and kept."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from scvi.model.base import BaseMinifiedModeModelClass as Model

from qbmvae.core.priors.log_partition import log_partition
from qbmvae.core.training import refine as refitting
from qbmvae.core.training.config import TrainingConfig
from qbmvae.model import cells
from samplers.errors import InputError
from samplers.sampler import Sampler

#: Cells to whose codes the prior alone is fitted, and held-out cells that decide where the fit stops, at most.
CELLS, CHECKED = 20_000, 5_000
#: Share of the training cells that decide where none were held out.
SHARE = 0.1


def measure_log_partition(module: Any, seed: int) -> None:
    """Measure the prior's log Z and keep it in the module."""
    value, error = log_partition(module.vae.prior, seed)
    module.log_partition.fill_(value)
    module.log_partition_error.fill_(error)


def refines(config: TrainingConfig, prior: Any, sampler: Sampler) -> bool:
    """Return whether training ends with a fit of the prior alone.

    By default where that takes seconds and draws what the training drew: by a local sampler that keeps its chains, or by
    none. A machine's prior stays the machine's.

    Parameters
    ----------
    config
        How the model trains.
    prior
        Its prior.
    sampler
        Its sampler.
    """
    if not config.prior_learning_rate or not any(p.requires_grad for p in prior.parameters()):
        return False
    if config.refine_prior is not None:
        return config.refine_prior
    return not prior.needs_samples or (sampler.keeps_chains and not sampler.remote and sampler.kind == "sampler")


def refine(model: Model, sampler: Sampler, seed: int, **options: Any) -> dict[str, float]:
    """Fit the prior alone to the codes of the training cells; see `QBMVAE.refine_prior`.

    Parameters
    ----------
    model
        The trained model.
    sampler
        That draws the negative phase.
    seed
        Of chains and batches.
    **options
        Those of `qbmvae.core.training.refine.refine`.

    Raises
    ------
    InputError
        For a model without data, or with too few cells.
    """
    if model.adata is None:
        raise InputError("this model has no data to fit its prior to: load it with adata=")
    rng = np.random.default_rng(seed)
    training = rng.permutation(np.arange(model.adata.n_obs) if model.train_indices_ is None else model.train_indices_)
    held_out = rng.permutation([] if model.validation_indices_ is None else model.validation_indices_)
    if not len(held_out):
        few = max(1, round(SHARE * len(training)))
        held_out, training = training[:few], training[few:]
    # in one pass: from a file, cells drawn at random cost as much as all of them
    rows = np.concatenate([training[:CELLS], held_out[:CHECKED]]).astype(np.int64)
    order = np.argsort(rows)
    with torch.inference_mode():
        parameters = cells.posterior(model, None, rows[order])
    own = torch.from_numpy(order < min(CELLS, len(training)))
    fitted, checked = parameters[own], parameters[~own]
    found = refitting.refine(model.module.vae, fitted.clone(), checked.clone(), sampler, seed=seed, **options)
    measure_log_partition(model.module, seed)
    return asdict(found)
