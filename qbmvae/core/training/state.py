"""Everything that a bit-equal continuation of a training needs, as tensors and plain values."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from qbmvae.core.training.trainer import Trainer


def collect(trainer: Trainer) -> dict[str, Any]:
    """Return a trainer's state."""
    return {
        "config": asdict(trainer.config),
        "vae": trainer.vae.state_dict(),
        "optimiser": trainer.optimiser.state_dict(),
        "negative_phase": None if trainer.negative_phase is None else trainer.negative_phase.state_dict(),
        "torch_rng": torch.get_rng_state(),
        "epoch": trainer.epoch,
        "step_in_epoch": trainer.step_in_epoch,
        "history": {name: [list(point) for point in points] for name, points in trainer.history.items()},
        "sums": dict(trainer.sums),
        "best": trainer.best,
        "watch": [trainer.best_value, trainer.bad_validations, trainer.stopped],
    }


def restore(trainer: Trainer, state: dict[str, Any]) -> None:
    """Set a trainer to what `collect` returned."""
    trainer.vae.load_state_dict(state["vae"])
    trainer.optimiser.load_state_dict(state["optimiser"])
    if trainer.negative_phase is not None and state["negative_phase"] is not None:
        trainer.negative_phase.load_state_dict(state["negative_phase"])
    trainer.torch_rng = state["torch_rng"]
    trainer.epoch, trainer.step_in_epoch = state["epoch"], state["step_in_epoch"]
    trainer.history = defaultdict(list, {k: [(int(e), v) for e, v in p] for k, p in state["history"].items()})
    trainer.sums = defaultdict(float, state["sums"])
    trainer.best = state["best"]
    trainer.best_value, trainer.bad_validations, trainer.stopped = state["watch"]
