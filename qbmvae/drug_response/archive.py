"""Files of drug-response models: weights with their description, and states of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qbmvae import archive
from qbmvae.drug_response.training import TrainingState

FORMAT = "qbmvae-drug-response"


def write(path: str | Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a header, see `qbmvae.archive.write`."""
    archive.write(path, FORMAT, tensors, header)


def read(path: str | Path) -> tuple[archive.Tensors, dict[str, Any]]:
    """Return the tensors and the header of a file of `write`, see `qbmvae.archive.read`."""
    return archive.read(path, FORMAT)


def write_checkpoint(path: str | Path, state: TrainingState, extra: Mapping[str, Any]) -> None:
    """Write a training state; `extra` comes back from `read_checkpoint`."""
    optimiser = state.optimiser.state_dict()
    tensors = {f"network.{k}": v for k, v in state.network.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in state.best.items()}
    tensors["noise"] = state.noise
    for index, entries in optimiser["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in entries.items()}
    header = {
        "epoch": state.epoch,
        "best_epoch": state.best_epoch,
        "history": state.history,
        "order": state.order.bit_generator.state,
        "extra": dict(extra),
    }
    write(path, tensors, header)


def read_checkpoint(path: str | Path, state: TrainingState) -> dict[str, Any]:
    """Bring a fresh `state` to where the checkpoint was written, and return its `extra`."""
    tensors, header = read(path)
    state.network.load_state_dict(archive.part(tensors, "network"))
    state.best = archive.part(tensors, "best")
    state.noise = tensors["noise"]
    restored: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in archive.part(tensors, "optimiser").items():
        index, entry = name.split(".", 1)
        restored.setdefault(int(index), {})[entry] = value
    groups = state.optimiser.state_dict()["param_groups"]
    state.optimiser.load_state_dict({"state": restored, "param_groups": groups})
    state.epoch, state.best_epoch, state.history = header["epoch"], header["best_epoch"], header["history"]
    state.order = np.random.default_rng()
    state.order.bit_generator.state = header["order"]
    return header["extra"]
