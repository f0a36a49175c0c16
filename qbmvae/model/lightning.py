"""Lightning's callbacks and loggers on our training, and scvi-tools' `plan_kwargs` in our names."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from qbmvae.core.batch import Batch
from qbmvae.core.training.config import TrainingConfig
from qbmvae.core.training.observer import Observer
from qbmvae.core.training.trainer import Trainer
from samplers.errors import InputError, nearest, require

#: scvi-tools' names of what we have too, and settings of theirs that mean what ours always does.
RENAMED = {"lr": "learning_rate", "weight_decay": "weight_decay", "max_kl_weight": "kl_weight"}
WARMUPS = ("n_epochs_kl_warmup", "n_steps_kl_warmup")
FIXED = {"optimizer": ("Adam",), "reduce_lr_on_plateau": (False,), "min_kl_weight": (0.0,), "compile": (False,)}
#: Loggers by name: the class in Lightning, and what must be installed for it.
LOGGERS = {
    "csv": ("CSVLogger", None),
    "tensorboard": ("TensorBoardLogger", "tensorboard"),
    "wandb": ("WandbLogger", "wandb"),
}


def planned(config: TrainingConfig, plan: Mapping[str, Any], n_steps: int) -> TrainingConfig:
    """Return the configuration with the settings of scvi-tools' `plan_kwargs`.

    Parameters
    ----------
    config
        How to train.
    plan
        `plan_kwargs` as scvi-tools' users write them.
    n_steps
        Steps of the whole training.

    Raises
    ------
    InputError
        For a setting that we do not have, or one that is given twice.
    """
    changes: dict[str, Any] = {}
    for name, value in plan.items():
        if name in RENAMED:
            changes[RENAMED[name]] = value
        elif name in WARMUPS:
            total = config.max_epochs if name == WARMUPS[0] else n_steps
            # None is scvi-tools' "not by this"
            if value is not None:
                changes["kl_warmup"] = min(1.0, value / total)
        elif name not in FIXED:
            known = (*RENAMED, *WARMUPS, *FIXED)
            raise InputError(f"plan_kwargs has no {name!r}{nearest(name, known)}; it takes {', '.join(known)}")
        elif value not in FIXED[name]:
            raise InputError(f"plan_kwargs: {name} can only be {FIXED[name][0]!r} here, not {value!r}")
    for name, value in changes.items():
        if getattr(config, name) not in (value, getattr(TrainingConfig, name)):
            raise InputError(f"{name} is given twice: {getattr(config, name)} to train, and {value} by plan_kwargs")
    return replace(config, **changes)


def loggers_of(logger: Any, folder: Path) -> list[Any]:
    """Return loggers: those given, or made by the names "csv", "tensorboard", "wandb".

    Parameters
    ----------
    logger
        A name, an object of Lightning's kind, several of these, or None or False for none; True is "csv".
    folder
        Where those made by name write.

    Raises
    ------
    InputError
        For an unknown name, a package that is not installed, or an object that is no logger.
    """
    if logger is None or logger is False:
        return []
    if isinstance(logger, list | tuple):
        return [one for each in logger for one in loggers_of(each, folder)]
    name = "csv" if logger is True else logger
    if not isinstance(name, str):
        if not hasattr(name, "log_metrics"):
            raise InputError(f"logger has no log_metrics: {type(name).__name__} is no logger of Lightning's kind")
        return [name]
    require(name, LOGGERS, "there is no logger")
    from lightning.pytorch import loggers

    kind, package = LOGGERS[name]
    try:
        return [getattr(loggers, kind)(save_dir=str(folder))]
    except ImportError as error:
        raise InputError(f"logger={name!r} needs a package that is not installed: pip install {package}") from error


class LightningObserver(Observer):
    """Calls Lightning's callbacks at their hooks, and gives loggers each epoch's metrics.

    Parameters
    ----------
    module
        The model's module, which hooks get as `pl_module`.
    callbacks
        Objects of `lightning.pytorch.Callback`'s kind.
    loggers
        Objects of Lightning's loggers' kind.
    answering
        Returns a context in which the model answers as it stands, given the trainer.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        callbacks: Iterable[Any],
        loggers: Iterable[Any],
        answering: Callable[[Trainer], contextlib.AbstractContextManager[None]],
    ):
        self.module, self.callbacks, self.loggers = module, list(callbacks), list(loggers)
        self.answering = answering
        self.view: Any = None

    def start(self, trainer: Trainer) -> None:
        """Call `setup`, `on_fit_start` and `on_train_start`, and log the settings."""
        self.view = View(trainer, self.loggers)
        for logger in self.loggers:
            logger.log_hyperparams(asdict(trainer.config))
        self._call("setup", stage="fit")
        self._call("on_fit_start")
        self._call("on_train_start")

    def epoch_start(self, trainer: Trainer) -> None:
        """Call `on_train_epoch_start`."""
        self.view.see(trainer)
        self._call("on_train_epoch_start")

    def step(self, trainer: Trainer, loss: float, batch: Batch, index: int) -> None:
        """Call `on_train_batch_end`."""
        self.view.global_step = trainer.epoch * trainer.train.steps(trainer.config.batch_size) + index + 1
        self._call("on_train_batch_end", {"loss": torch.tensor(loss)}, batch, index)

    def validated(self, trainer: Trainer) -> None:
        """Call `on_validation_epoch_end` and `on_validation_end`."""
        self._answering(trainer, "on_validation_epoch_end", "on_validation_end")

    def epoch_end(self, trainer: Trainer) -> None:
        """Log the epoch's metrics, call `on_train_epoch_end`, and stop where a callback asked for it."""
        # an epoch's hooks run under its own number, counted from 0
        self._answering(trainer, "on_train_epoch_end", epoch=trainer.epoch - 1)
        for logger in self.loggers:
            logger.log_metrics({k: float(v) for k, v in self.view.callback_metrics.items()}, step=self.view.global_step)
        trainer.loop.stopped = trainer.loop.stopped or self.view.should_stop

    def end(self, trainer: Trainer) -> None:
        """Call `on_train_end` and `on_fit_end`, and close the loggers."""
        self._answering(trainer, "on_train_end", "on_fit_end")
        for logger in self.loggers:
            logger.save()
            logger.finalize("success")

    def _answering(self, trainer: Trainer, *hooks: str, epoch: int | None = None) -> None:
        self.view.see(trainer, epoch)
        with self.answering(trainer):
            for hook in hooks:
                self._call(hook)

    def _call(self, hook: str, *arguments: Any, **options: Any) -> None:
        for callback in self.callbacks:
            if (function := getattr(callback, hook, None)) is not None:
                function(self.view, self.module, *arguments, **options)


class View:
    """What callbacks read of Lightning's trainer, for a training of ours; `should_stop` is what they set.

    Parameters
    ----------
    trainer
        Ours.
    loggers
        The loggers.
    """

    def __init__(self, trainer: Trainer, loggers: list[Any]):
        self.trainer, self.loggers, self.logger = trainer, loggers, loggers[0] if loggers else None
        self.max_epochs, self.world_size, self.is_global_zero = trainer.config.max_epochs, 1, True
        self.check_val_every_n_epoch, self.val_check_interval = trainer.config.check_val_every_n_epoch, 1.0
        self.fast_dev_run = self.sanity_checking = self.should_stop = False
        self.state = SimpleNamespace(fn="fit")
        self.strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, all=True: decision)
        self.global_step = trainer.epoch * trainer.train.steps(trainer.config.batch_size)
        self.see(trainer)

    def see(self, trainer: Trainer, epoch: int | None = None) -> None:
        """Take over where the training stands, and the newest value of each curve."""
        self.current_epoch = trainer.epoch if epoch is None else epoch
        self.callback_metrics = {k: torch.tensor(v[-1][1]) for k, v in trainer.history.items() if v}
        self.logged_metrics = self.callback_metrics
