"""Options of one call of `QBMVAE.train` that do not change how the model learns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qbmvae.core.training.trainer import Trainer
from qbmvae.data.stream import Stream


@dataclass(frozen=True)
class RunOptions:
    """Which cells one call of `QBMVAE.train` uses, where it computes, and what it writes.

    Attributes
    ----------
    train_size, validation_size
        Shares of the cells; .9 and the rest by default.
    shuffle_set_split
        Whether the split is random (else the first cells train).
    external_indexing
        Own split: arrays of training and validation (and test) indices.
    accelerator, devices
        As in scvi-tools: "auto", "cpu", "gpu", and how many or which; several train one model together.
    checkpoint_dir
        Folder for checkpoints, written atomically after each epoch.
    resume_from
        Folder with checkpoints of an interrupted training: continues it, to the bit, with its own settings.
    on_epoch
        Called with the trainer after each epoch, the model ready to answer; for curves of one's own.
    callbacks
        Objects with the hooks of Lightning's callbacks, for epochs, steps and validations; the model is ready to answer at
        the end of epochs and validations. `trainer.should_stop = True` ends the training.
    logger
        Gets each epoch's metrics: "csv", "tensorboard", "wandb" (in the checkpoints' folder, or "qbmvae_logs"), or an
        object of Lightning's loggers' kind; several in a list.
    stream
        Where training counts come from instead of the model's data: see `qbmvae.data.stream`, whose
        `annbatch_stream` reads an annbatch collection. Genes by name where the pieces name them.
    progress_bar
        Whether to show progress, on stderr.
    """

    train_size: float | None = None
    validation_size: float | None = None
    shuffle_set_split: bool = True
    external_indexing: Sequence[np.ndarray] | None = None
    accelerator: str = "auto"
    devices: int | list[int] | str = "auto"
    checkpoint_dir: str | Path | None = None
    resume_from: str | Path | None = None
    on_epoch: Callable[[Trainer], None] | None = None
    callbacks: Sequence[Any] | None = None
    logger: Any = None
    stream: Stream | None = None
    progress_bar: bool = True
