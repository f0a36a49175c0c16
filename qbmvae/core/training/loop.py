"""Epochs of any training: history, best weights, early stopping, checkpoints, bit-equal resumption."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from qbmvae.core.training import checkpoint
from samplers.errors import InputError


class Loop:
    """Counts epochs and keeps what a training needs from one to the next; the caller does the steps.

    .. code-block:: python

        loop = Loop(network, max_epochs=50, patience=5, checkpoint=folder / "checkpoint.pt",
                    parts={"optimiser": optimiser, "order": numpy_generator})
        loop.resume()                              # goes on from the checkpoint, where there is one
        while loop.running:
            loss = one_epoch(network, optimiser)   # loop.epoch: 0, 1, ...
            loop.record({"loss": loss})
            loop.judge(validation_error(network))  # lower is better; keeps a copy of the best weights
            loop.advance()                         # counts the epoch and writes a checkpoint
        loop.restore_best()

    Parameters
    ----------
    network
        Whose weights are kept and saved; several go into one `nn.ModuleDict`.
    max_epochs
        Epochs of the whole training.
    patience
        Stop after this many judgements in a row without an improvement; None never stops early.
    min_delta
        By how much a value must fall below the best to be an improvement.
    keep_best
        Whether a copy of the best weights is kept.
    parts
        What else a continuation needs, by name: anything with `state_dict` and `load_state_dict`, a numpy or torch
        generator.
    notes
        Entries of each checkpoint that are written and not restored: the configuration, the split.
    identity
        What must be the same to go on, by name: fingerprints of the data, the options, the seed.
    checkpoint
        File of the checkpoints, or None.
    checkpoint_every
        Epochs between checkpoints; the last epoch always writes one.
    stage
        Of a training in several stages, which share a file: a checkpoint of another stage is not resumed.

    Attributes
    ----------
    epoch : int
        Epochs that are done.
    history : dict
        Name to a list of (epoch, value).
    best_value, best_epoch
        The least value judged so far, and how many epochs were done then; infinity and 0 before the first.
    best : dict or None
        State of the network at that moment.
    waited : int
        Judgements since then.
    stopped : bool
        Whether patience is spent.
    """

    def __init__(
        self,
        network: nn.Module,
        max_epochs: int,
        *,
        patience: int | None = None,
        min_delta: float = 0.0,
        keep_best: bool = True,
        parts: Mapping[str, Any] | None = None,
        notes: Mapping[str, Any] | None = None,
        identity: Mapping[str, Any] | None = None,
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 1,
        stage: str = "",
    ):
        self.network, self.max_epochs = network, max_epochs
        self.patience, self.min_delta, self.keep_best = patience, min_delta, keep_best
        self.parts, self.notes = dict(parts or {}), dict(notes or {})
        self.identity, self.stage = dict(identity or {}), stage
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.checkpoint_every = checkpoint_every
        self.epoch = 0
        self.history: dict[str, list[tuple[int, float]]] = {}
        self.best_value, self.best_epoch, self.waited, self.stopped = math.inf, 0, 0, False
        self.best: dict[str, Any] | None = None

    @property
    def running(self) -> bool:
        """Whether an epoch is left to do."""
        return self.epoch < self.max_epochs and not self.stopped

    def advance(self) -> None:
        """Count an epoch as done, and write a checkpoint where one is due."""
        self.epoch += 1
        if self.epoch % self.checkpoint_every == 0 or not self.running:
            self.save()

    def record(self, values: Mapping[str, float], epoch: int | None = None) -> None:
        """Append values to the history, under the running epoch by default."""
        for name, value in values.items():
            self.history.setdefault(name, []).append((self.epoch if epoch is None else epoch, float(value)))

    def judge(self, value: float, epoch: int | None = None) -> bool:
        """Compare a value with the best so far, keep the weights if it is better, and return whether it is.

        Parameters
        ----------
        value
            Lower is better.
        epoch
            Epochs done when it was measured; by default the running one counts as done. 0 judges the start.
        """
        if value < self.best_value - self.min_delta:
            self.best_value, self.best_epoch = float(value), self.epoch + 1 if epoch is None else epoch
            self.waited = 0
            if self.keep_best:
                # a copy: live tensors would go on training
                self.best = copy.deepcopy(self.network.state_dict())
            return True
        self.waited += 1
        self.stopped = self.patience is not None and self.waited >= self.patience
        return False

    def restore_best(self) -> None:
        """Give the network its best weights, where there are any."""
        if self.best is not None:
            self.network.load_state_dict(self.best)

    # -- state ------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a bit-equal continuation needs, and the notes."""
        return {
            **self.notes,
            "identity": self.identity,
            "stage": self.stage,
            "epoch": self.epoch,
            "history": {name: [list(point) for point in points] for name, points in self.history.items()},
            "best": self.best,
            "watch": {
                "value": self.best_value,
                "epoch": self.best_epoch,
                "waited": self.waited,
                "stopped": self.stopped,
            },
            "network": self.network.state_dict(),
            "parts": {name: _state(part) for name, part in self.parts.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.epoch, self.best, watch = state["epoch"], state["best"], state["watch"]
        self.history = {name: [(int(e), v) for e, v in points] for name, points in state["history"].items()}
        self.best_value, self.best_epoch = watch["value"], watch["epoch"]
        self.waited, self.stopped = watch["waited"], watch["stopped"]
        self.network.load_state_dict(state["network"])
        for name, part in self.parts.items():
            _restore(part, state["parts"][name])

    def save(self) -> None:
        """Write a checkpoint, atomically, where there is a file for it."""
        if self.checkpoint is not None:
            checkpoint.save(self.state_dict(), self.checkpoint)

    def resume(self) -> bool:
        """Go on from the checkpoint, if the file holds one of this stage; return whether it does.

        Raises
        ------
        InputError
            The file is damaged, or was written for other data or options; the message says which.
        """
        if self.checkpoint is None or not self.checkpoint.is_file():
            return False
        state = checkpoint.load(self.checkpoint)
        before = state.get("identity", {})
        for name, value in self.identity.items():
            if before.get(name) != value:
                raise InputError(
                    f"{self.checkpoint} was written with other {name}: give those of the first run, or remove it to start again"
                )
        if state.get("stage", "") != self.stage:
            return False
        try:
            self.load_state_dict(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{self.checkpoint} is not a checkpoint of this training ({error}): remove it to start again"
            ) from error
        return True


def _state(part: Any) -> Any:
    if isinstance(part, np.random.Generator):
        return part.bit_generator.state
    return part.get_state() if isinstance(part, torch.Generator) else part.state_dict()


def _restore(part: Any, state: Any) -> None:
    if isinstance(part, np.random.Generator):
        part.bit_generator.state = state
    elif isinstance(part, torch.Generator):
        part.set_state(state)
    else:
        part.load_state_dict(state)
