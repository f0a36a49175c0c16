"""Tensors and a JSON header in one safetensors file: no pickle, readable from any language, written atomically."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from samplers.errors import InputError
from samplers.files import write_atomically

Tensors = dict[str, torch.Tensor]


def write(path: str | Path, kind: str, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a header, replacing the file in one move.

    Parameters
    ----------
    path
        The file.
    kind
        What the file holds, for example "qbmvae"; `read` asks for it.
    tensors
        By name; equal tensors and headers give equal files.
    header
        What JSON holds.

    Raises
    ------
    InputError
        Where the place cannot be written to.
    """
    from safetensors.torch import save_file

    # row-major copies: safetensors refuses other strides, and tensors that share memory
    dense = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    # one entry: safetensors writes several in no fixed order
    write_atomically(path, lambda temporary: save_file(dense, temporary, {kind: json.dumps(header)}))


def read(path: str | Path, kind: str, *, sidecar: str | Path | None = None) -> tuple[Tensors, dict[str, Any]]:
    """Return the tensors and the header of a file that `write` wrote.

    Parameters
    ----------
    path
        The file.
    kind
        As given to `write`.
    sidecar
        JSON file with the header of a file that has none inside (models of perturbation, version 0.1).

    Raises
    ------
    InputError
        For a file that is missing, damaged, or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        with safe_open(str(path), framework="pt") as handle:
            metadata = handle.metadata() or {}
            if not metadata and sidecar is not None and Path(sidecar).is_file():
                metadata = {kind: Path(sidecar).read_text()}
            if kind not in metadata:
                held = f"it holds {', '.join(sorted(metadata))}" if metadata else "it has no header"
                raise InputError(f"{path} is no file of {kind!r}: {held}")
            header = json.loads(metadata[kind])
            return {name: handle.get_tensor(name) for name in handle.keys()}, header
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}: {error})") from error


def part(tensors: Mapping[str, torch.Tensor], prefix: str) -> Tensors:
    """Return the tensors whose names start with "prefix.", without it: the state of one module among several."""
    start = f"{prefix}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
