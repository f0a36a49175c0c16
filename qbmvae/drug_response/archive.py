"""Weights and their description in one safetensors file: no pickle, a JSON header, written atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qbmvae.drug_response.training import TrainingState
from samplers.errors import InputError
from samplers.files import write_bytes

FORMAT = "qbmvae-drug-response"


def write(path: str | Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a JSON-able header to `path`, replacing it in one move."""
    from safetensors.torch import save

    # safetensors holds row-major tensors only
    dense = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
    # one key: safetensors writes several in no fixed order, and equal models should be equal files
    metadata = {FORMAT: json.dumps(header)}
    write_bytes(path, save(dense, metadata))


def read(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors and the header of a file of `write`; another or damaged file is an `InputError`."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        with safe_open(path, framework="pt") as archive:
            metadata = archive.metadata() or {}
            if FORMAT not in metadata:
                raise InputError(f"{path} is not a drug-response model of this package")
            return {k: archive.get_tensor(k) for k in archive.keys()}, json.loads(metadata[FORMAT])
    except (SafetensorError, json.JSONDecodeError, KeyError) as error:
        raise InputError(f"{path} is damaged: {error}") from None


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
    state.network.load_state_dict(_part(tensors, "network"))
    state.best = _part(tensors, "best")
    state.noise = tensors["noise"]
    restored: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in _part(tensors, "optimiser").items():
        index, entry = name.split(".", 1)
        restored.setdefault(int(index), {})[entry] = value
    groups = state.optimiser.state_dict()["param_groups"]
    state.optimiser.load_state_dict({"state": restored, "param_groups": groups})
    state.epoch, state.best_epoch, state.history = header["epoch"], header["best_epoch"], header["history"]
    state.order = np.random.default_rng()
    state.order.bit_generator.state = header["order"]
    return header["extra"]


def _part(tensors: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
