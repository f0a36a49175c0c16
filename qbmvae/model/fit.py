"""`QBMVAE.train`: the split, the source, the loop, the history."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scvi.model._utils import parse_device_args

import samplers
from qbmvae.core.training import checkpoint
from qbmvae.core.training.distributed import Ranks, launch, number_of_devices
from qbmvae.core.training.trainer import Trainer, TrainingConfig
from qbmvae.data.stream import Stream, StreamSource
from qbmvae.model.host import Host
from samplers.errors import InputError

#: Epochs x cells that a default training sees, as scvi-tools scales its epochs with the data.
DEFAULT_EPOCHS, DEFAULT_CELLS = 400, 20_000


class TrainingMixin(Host):
    """The training of `QBMVAE`."""

    def train(
        self,
        max_epochs: int | None = None,
        batch_size: int = 128,
        *,
        seed: int = 0,
        sampler: Any = None,
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        early_stopping: bool = False,
        early_stopping_patience: int = 45,
        early_stopping_min_delta: float = 0.0,
        check_val_every_n_epoch: int = 1,
        learning_rate: float = TrainingConfig.learning_rate,
        prior_learning_rate: float = TrainingConfig.prior_learning_rate,
        weight_decay: float = TrainingConfig.weight_decay,
        learning_rate_decay: float = TrainingConfig.learning_rate_decay,
        kl_weight: float = TrainingConfig.kl_weight,
        kl_warmup: float = TrainingConfig.kl_warmup,
        batch_matching: float = TrainingConfig.batch_matching,
        cycle_consistency: float = TrainingConfig.cycle_consistency,
        num_chains: int = TrainingConfig.num_chains,
        gradient_clip: float | None = TrainingConfig.gradient_clip,
        precision: str = TrainingConfig.precision,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        checkpoint_dir: str | Path | None = None,
        checkpoint_every: int = 0,
        resume_from: str | Path | None = None,
        external_indexing: Sequence[np.ndarray] | None = None,
        on_epoch: Callable[[Trainer], None] | None = None,
        stream: Stream | None = None,
        progress_bar: bool = True,
    ) -> None:
        """Train the model.

        Parameters
        ----------
        max_epochs
            Passes over the training cells; by default 400 up to 20,000 cells, fewer above.
        batch_size
            Cells a step.
        seed
            Of everything random: initial weights of a fresh model, split, order, noise, chains.
        sampler
            Replaces the model's sampler for the negative phase: a name, "name?option=value", or an object.
        train_size, validation_size
            Shares of the cells; .9 and the rest by default.
        shuffle_set_split
            Whether the split is random (else the first cells train).
        early_stopping
            Stop when the held-out ELBO no longer improves, and keep the best weights.
        early_stopping_patience, early_stopping_min_delta
            Validations without an improvement of this many nats before it stops.
        check_val_every_n_epoch
            Epochs between validations.
        learning_rate, prior_learning_rate, weight_decay
            Adam's, for the network and for the prior.
        learning_rate_decay
            Share of the steps, at the end, over which both rates fall linearly to 0.
        kl_weight
            Weight of the KL once warmed up (2 integrates best; below 1 suits trajectories).
        kl_warmup
            Share of all steps over which it rises from 0.
        batch_matching
            Weight of the penalty on differences between the batches' mean bit probabilities.
        cycle_consistency
            Weight of the penalty on codes that change when decoded with another batch.
        num_chains
            Reads of the negative phase a step.
        gradient_clip
            Largest gradient norm; None for no limit.
        precision
            Of matrix products: "32", or "bf16" (inputs rounded to bfloat16, sums in float32) where the processor has it.
        accelerator, devices
            As in scvi-tools: "auto", "cpu", "gpu", and how many or which; several train one model together.
        checkpoint_dir
            Folder for checkpoints, written atomically after each epoch.
        checkpoint_every
            Steps between further checkpoints.
        resume_from
            Folder with checkpoints of an interrupted training: continues it, to the bit, with its own settings.
        external_indexing
            Own split: arrays of training and validation (and test) indices.
        on_epoch
            Called with the trainer after each epoch, the model in evaluation mode; for curves of one's own.
        stream
            Where training counts come from instead of the model's data: see `qbmvae.data.stream`, whose
            `annbatch_stream` reads an annbatch collection. Same genes, in the same order.
        progress_bar
            Whether to show progress, on stderr.

        Raises
        ------
        InputError
            For options out of range, nothing to resume from, or a loss that is not finite (naming the cells).
        """
        if self.adata is None:
            raise InputError("this model has no data to train on: make or load it with adata=")
        if self.minified_data_type is not None:
            raise InputError("a minified model holds no counts: train before minify_adata")
        if sampler is not None:
            self._sampler = samplers.get(sampler)
            self.sampler_ = without_token(sampler) if isinstance(sampler, str) else None
        state = None
        if resume_from is not None:
            state = checkpoint.load(Path(resume_from) / checkpoint.NAME)
            config = TrainingConfig(**state["config"])
        else:
            n_epochs = max_epochs or min(
                DEFAULT_EPOCHS, max(1, round(DEFAULT_EPOCHS * DEFAULT_CELLS / self.adata.n_obs))
            )
            config = TrainingConfig(
                max_epochs=n_epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                prior_learning_rate=prior_learning_rate,
                weight_decay=weight_decay,
                learning_rate_decay=learning_rate_decay,
                kl_weight=kl_weight,
                kl_warmup=kl_warmup,
                batch_matching=batch_matching,
                cycle_consistency=cycle_consistency,
                num_chains=num_chains,
                gradient_clip=gradient_clip,
                precision=precision,
                early_stopping=early_stopping,
                patience=early_stopping_patience,
                min_delta=early_stopping_min_delta,
                check_val_every_n_epoch=check_val_every_n_epoch,
                seed=seed,
                checkpoint_every=checkpoint_every,
            )
        if self._fresh:
            self._build(config.seed)
        split = split_cells(
            self.adata.n_obs, train_size, validation_size, shuffle_set_split, config.seed, external_indexing
        )
        if state is not None and "split" in state:
            split = tuple(state["split"])
        self.train_indices_, self.validation_indices_, self.test_indices_ = split
        self._freeze_for_query()
        folder = checkpoint_dir if checkpoint_dir is not None else resume_from
        run = _Run(self, config, split, state, None if folder is None else Path(folder), progress_bar, stream)
        if not isinstance(devices, str) and number_of_devices(devices) > 1:
            answer = launch(run.on_rank, devices, accelerator)
            self.module.vae.load_state_dict({name: torch.from_numpy(v) for name, v in answer["vae"].items()})
            self._finish(answer["history"], config.seed)
            return
        _, _, device = parse_device_args(accelerator, devices, return_device="torch", validate_single_device=True)
        self.trainer = run.trainer(Ranks(), device)
        history = self.trainer.fit(on_epoch)
        self._finish(history, config.seed)
        self.module.to(device)

    def _finish(self, history: dict[str, list[tuple[int, float]]], seed: int) -> None:
        self.history_ = {name: frame(name, points) for name, points in history.items()}
        value, error = self._measure_log_partition(seed)
        self.module.log_partition.fill_(value)
        self.module.log_partition_error.fill_(error)
        self.module.eval()
        self.is_trained_ = True
        self._fresh = False
        self._fix_expression_axes(seed)


@dataclass
class _Run:
    """One call of `train`, as each process sees it."""

    model: Any
    config: TrainingConfig
    split: tuple[np.ndarray, ...]
    state: dict[str, Any] | None
    folder: Path | None
    progress: bool
    stream: Stream | None

    def trainer(self, ranks: Ranks, device: torch.device) -> Trainer:
        """Return the trainer of this process, its state restored where there is one."""
        source, shard = self.model._source(), (ranks.rank, ranks.world)
        cells = source.subset(self.split[0], shard)
        trainer = Trainer(
            self.model.module.vae,
            cells if self.stream is None else StreamSource(self.stream, self.model.adata.obs_names, cells),
            source.subset(self.split[1], shard),
            self.model._sampler,
            self.config,
            device=device,
            checkpoints=self.folder,
            progress=self.progress,
            extra_state={"split": list(self.split)},
            ranks=ranks,
        )
        if self.state is not None:
            trainer.load_state_dict(self.state)
        return trainer

    def on_rank(self, ranks: Ranks, device: torch.device) -> dict[str, Any]:
        """Train on one of several devices and return what the parent needs, as plain arrays."""
        trainer = self.trainer(ranks, device)
        history = trainer.fit()
        weights = {name: value.cpu().numpy() for name, value in trainer.vae.state_dict().items()}
        return {"vae": weights, "history": history}


def without_token(spec: str) -> str:
    """Return a sampler's specification without its token: credentials are not written to disk."""
    return re.sub(r"([?&])token=[^&]*&?", r"\1", spec).rstrip("?&")


def frame(name: str, points: list[tuple[int, float]]) -> pd.DataFrame:
    """Return a curve as scvi-tools does: a one-column DataFrame indexed by epoch."""
    epochs, values = zip(*points, strict=True) if points else ((), ())
    return pd.DataFrame({name: values}, index=pd.Index(epochs, name="epoch"))


def split_cells(
    n: int,
    train_size: float | None,
    validation_size: float | None,
    shuffle: bool,
    seed: int,
    external: Sequence[np.ndarray] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return training, validation and test indices."""
    if external is not None:
        parts = [np.asarray(p, dtype=np.int64) for p in external]
        parts += [np.array([], dtype=np.int64)] * (3 - len(parts))
        merged = np.concatenate(parts)
        if len(merged) and (merged.min() < 0 or merged.max() >= n):
            raise InputError(f"external_indexing names cell {merged.max()}, but there are {n} cells")
        if len(np.unique(merged)) != len(merged):
            raise InputError("external_indexing puts a cell in two sets: the sets must not overlap")
        return parts[0], parts[1], parts[2]
    train_size = 0.9 if train_size is None else train_size
    if not 0 < train_size <= 1:
        raise InputError(f"train_size must be in (0, 1], not {train_size}")
    n_train = int(np.ceil(train_size * n))
    n_validation = n - n_train if validation_size is None else int(np.floor(validation_size * n))
    if n_train + n_validation > n:
        raise InputError(f"train_size {train_size} and validation_size {validation_size} add up to more than 1")
    order = np.random.default_rng(seed).permutation(n) if shuffle else np.arange(n)
    return order[:n_train], order[n_train : n_train + n_validation], order[n_train + n_validation :]
