"""Training of `QBMVAE`: the split, the source, the loop, what is measured when it ends."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from scvi.model._utils import parse_device_args
from scvi.model.base import BaseMinifiedModeModelClass as Model

from qbmvae.core.fused.compiling import compilation
from qbmvae.core.training import checkpoint
from qbmvae.core.training.config import TrainingConfig
from qbmvae.core.training.distributed import Ranks, launch, number_of_devices
from qbmvae.core.training.trainer import Trainer
from qbmvae.core.training.verdict import Verdict, judge
from qbmvae.data import counts
from qbmvae.data.notes import note
from qbmvae.data.selection import positions
from qbmvae.data.stream import Stream, StreamSource
from qbmvae.model import aligned_space, cells, embedding, expression_space, labels, refit
from qbmvae.model.door import Cells
from qbmvae.model.lightning import LightningObserver, loggers_of
from qbmvae.model.run_options import RunOptions
from qbmvae.model.split import split_cells
from samplers.errors import InputError

#: Epochs x cells that a default training sees, as scvi-tools scales its epochs with the data.
DEFAULT_EPOCHS, DEFAULT_CELLS = 400, 20_000


def default_epochs(n_cells: int) -> int:
    """Return how many epochs a training takes by default."""
    return min(DEFAULT_EPOCHS, max(1, round(DEFAULT_EPOCHS * DEFAULT_CELLS / n_cells)))


def check_trainable(model: Model) -> AnnData:
    """Return the cells that a model trains on; raise InputError where it has no counts.

    Raises
    ------
    InputError
        Where the model has no counts.
    """
    if model.adata is None:
        raise InputError("this model has no data to train on: make or load it with adata=")
    if model.minified_data_type is not None:
        raise InputError("a minified model holds no counts: train before minify_adata")
    return model.adata


def check_same_cells(model: Model, entered: Cells, state: dict[str, Any]) -> None:
    """Refuse to go on with other data than a checkpoint's: counts and covariates are compared, not names alone.

    Parameters
    ----------
    model
        The model.
    entered
        Its cells, to go on with.
    state
        The checkpoint; those written before contents were kept are taken as they are.

    Raises
    ------
    InputError
        Where they differ; the message says in what.
    """
    if "split" in state:
        largest = max((int(part.max()) for part in state["split"] if len(part)), default=-1)
        if largest >= model.adata.n_obs:
            raise InputError(
                f"the interrupted training had {largest + 1} cells or more, these data have {model.adata.n_obs}"
            )
    was, now = state.get("cells"), cells.contents(model, entered)
    changed = [] if was is None else [what for what in now if was.get(what) != now[what]]
    if changed:
        raise InputError(
            f"these are not the data of the interrupted training: {', '.join(changed)} differ; resume with the same data, or "
            "train anew"
        )


def without_empty_cells(model: Model, entered: Cells, split: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """Leave cells without any count out of training and validation, and say so; they are embedded all the same.

    Parameters
    ----------
    model
        The model.
    entered
        Its cells.
    split
        Rows of the training, validation and test cells.
    """
    empty = cells.empty(model, entered)
    if not len(empty):
        return split
    names = model.adata.obs_names[empty[:3]]
    note(
        f"{len(empty)} cells have no count and take no part in training: {', '.join(names)}{', ...' * (len(empty) > 3)}"
    )
    return tuple(part[~np.isin(part, empty)] for part in split)


@dataclass
class Run:
    """One call of `train`, as each process sees it.

    Attributes
    ----------
    model
        The model, its weights drawn or loaded.
    entered
        Its cells.
    config, options
        How to train, and where.
    split
        Rows of the training, validation and test cells.
    state
        What a checkpoint holds, where training is resumed.
    """

    model: Model
    entered: Cells
    config: TrainingConfig
    options: RunOptions
    split: tuple[np.ndarray, ...]
    state: dict[str, Any] | None

    @classmethod
    def of(cls, model: Model, config: TrainingConfig, options: RunOptions) -> Run:
        """Return a run from the start, or one that goes on from a checkpoint with the settings found there.

        Parameters
        ----------
        model
            The model.
        config
            How to train.
        options
            What is asked of this run.

        Raises
        ------
        InputError
            For too few cells, or other data than the checkpoint's.
        """
        state, entered = None, cells.enter(model, None)
        if options.resume_from is not None:
            state = checkpoint.load(Path(options.resume_from) / checkpoint.NAME)
            config = TrainingConfig.read(state["config"])
            check_same_cells(model, entered, state)
        if state is not None and "split" in state:
            return cls(model, entered, config, options, tuple(state["split"]), state)
        sizes = options.train_size, options.validation_size, options.shuffle_set_split
        external = options.external_indexing
        if external is not None:
            names = model.adata.obs_names
            external = [positions(part, names, f"external_indexing[{i}]") for i, part in enumerate(external)]
        split = without_empty_cells(model, entered, split_cells(model.adata.n_obs, *sizes, config.seed, external))
        normalised = (
            model.init_params_["non_kwargs"]["normalisation"] == "batch" and model.reference_categories_ is None
        )
        if normalised and len(split[0]) < 2:
            raise InputError(f"{len(split[0])} training cells: batch normalisation needs two or more")
        if normalised and config.batch_size < 2:
            raise InputError(
                'batch_size 1 leaves batch normalisation nothing to compare: use 2 or more, or normalisation="layer"'
            )
        return cls(model, entered, config, options, split, state)

    def trainer(self, ranks: Ranks, device: torch.device) -> Trainer:
        """Return the trainer of this process, its state restored where there is one."""
        options, shard = self.options, (ranks.rank, ranks.world)
        source = cells.source(self.model, self.entered)
        training = source.subset(self.split[0], shard)
        folder = options.checkpoint_dir if options.checkpoint_dir is not None else options.resume_from
        trainer = Trainer(
            self.model.module.vae,
            training if options.stream is None else self._streamed(options.stream, training),
            source.subset(self.split[1], shard),
            self.model.sampler,
            self.config,
            device=device,
            checkpoints=None if folder is None else Path(folder),
            progress=options.progress_bar,
            notes={"split": list(self.split), "cells": cells.contents(self.model, self.entered)},
            ranks=ranks,
            supervision=labels.supervision(self.model, self.config.label_weight),
        )
        if self.state is not None:
            trainer.load_state_dict(self.state)
        return trainer

    def _streamed(self, stream: Stream, training: Any) -> StreamSource:
        adata, layer = self.model.adata, self.model.registry_["setup_args"]["layer"]
        _, var, _ = counts.matrix_and_genes(adata, layer)
        return StreamSource(stream, adata.obs_names, training, self.model.get_var_names(), var.index)

    def on_rank(self, ranks: Ranks, device: torch.device) -> dict[str, Any]:
        """Train on one of several devices and return what the parent needs, as plain arrays."""
        trainer = self.trainer(ranks, device)
        history = self._fitted(trainer, watched=ranks.rank == 0)
        weights = {name: value.cpu().numpy() for name, value in trainer.vae.state_dict().items()}
        return {"vae": weights, "history": history}

    def _fitted(self, trainer: Trainer, watched: bool = True) -> dict[str, list[tuple[int, float]]]:
        """Run a trainer to the end, users' functions called where it is `watched`."""
        options, model = self.options, self.model
        if not watched:
            return trainer.fit()
        loggers = loggers_of(options.logger, Path(options.checkpoint_dir or options.resume_from or "qbmvae_logs"))
        observer = None
        if options.callbacks or loggers:
            observer = LightningObserver(model.module, options.callbacks or (), loggers, model.answering)

        def on_epoch(trainer: Trainer) -> None:
            if options.on_epoch is not None:
                with model.answering(trainer):
                    options.on_epoch(trainer)

        return trainer.fit(on_epoch, observer)

    def fit(self) -> tuple[dict[str, pd.DataFrame], Verdict]:
        """Train to the end on one device or several; return the history and a verdict, which is said on stderr too."""
        with compilation(say=self.options.progress_bar) as compiled:
            history = self._history()
        self.model.compile_seconds_ = compiled.seconds
        config, vae = self.config, self.model.module.vae
        verdict = judge(
            history,
            n_latent=vae.n_latent,
            num_chains=config.num_chains,
            kept=config.early_stopping or config.keep_best,
            max_epochs=config.max_epochs,
        )
        if self.options.progress_bar:
            print(f"training: {verdict}", file=sys.stderr, flush=True)
        return {name: frame(name, points) for name, points in history.items()}, verdict

    def _history(self) -> dict[str, list[tuple[int, float]]]:
        options, model = self.options, self.model
        if not isinstance(options.devices, str) and number_of_devices(options.devices) > 1:
            answer = launch(self.on_rank, options.devices, options.accelerator)
            model.module.vae.load_state_dict({name: torch.from_numpy(v) for name, v in answer["vae"].items()})
            return answer["history"]
        _, _, device = parse_device_args(
            options.accelerator, options.devices, return_device="torch", validate_single_device=True
        )
        model.trainer = self.trainer(Ranks(), device)
        history = self._fitted(model.trainer)
        model.module.to(device)
        return history


def measure(model: Model, config: TrainingConfig) -> None:
    """Keep in the module what training leaves to be measured: log Z, and the axes of expression space.

    Where the configuration asks for it the prior is fitted to its optimum first, in as many steps as training took and
    no more than `refine_prior` takes.
    """
    module, training, seed = model.module, model.train_indices_, config.seed
    if refit.refines(config, module.vae.prior, model.sampler):
        steps = config.max_epochs * -(-len(training) // config.batch_size)
        options = {"steps": min(1500, steps), "num_chains": 2 * config.num_chains}
        model.refinement_ = refit.refine(model, model.sampler, seed, **options)
    else:
        refit.measure_log_partition(module, seed)
    module.eval()
    entered = cells.enter(model, None)
    some, most = (
        partial(cells.posteriors, model, entered, subset(training, size, seed))
        for size in (expression_space.CELLS, aligned_space.CELLS)
    )
    if module.vae.frozen_statistics and module.has_expression_axes:
        # the model of a query keeps its reference's axes and clusters
        embedding.fix_new_batches(module, most)
        return
    embedding.fix_axes(module, some)
    embedding.fix_space(module, most, model.align_batches, seed)


def subset(cells: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Return at most `size` of some cells, drawn at random, in order.

    Parameters
    ----------
    cells
        Positions.
    size
        At most as many.
    seed
        Of the choice.
    """
    if len(cells) > size:
        cells = np.random.default_rng(seed).choice(cells, size, replace=False)
    return np.sort(cells)


def without_token(spec: str) -> str:
    """Return a sampler's specification without its token: credentials are not written to disk."""
    return re.sub(r"([?&])token=[^&]*&?", r"\1", spec).rstrip("?&")


def frame(name: str, points: list[tuple[int, float]]) -> pd.DataFrame:
    """Return a curve as scvi-tools does: a one-column DataFrame indexed by epoch."""
    epochs, values = zip(*points, strict=True) if points else ((), ())
    return pd.DataFrame({name: values}, index=pd.Index(epochs, name="epoch"))
