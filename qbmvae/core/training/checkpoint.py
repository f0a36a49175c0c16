"""Training states on disk: written atomically, read without running code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from samplers.errors import InputError
from samplers.files import replacing

NAME = "checkpoint.pt"


def save(state: dict[str, Any], path: Path) -> None:
    """Write a state of tensors, arrays, numbers, strings and containers of these; a kill leaves the old file whole."""
    # a handle: given a path, torch writes the temporary's name into the file
    with replacing(path) as temporary, temporary.open("wb") as handle:
        torch.save(_plain(state), handle)


def load(path: Path) -> dict[str, Any]:
    """Read a state; a missing or damaged file is named.

    Raises
    ------
    InputError
        For a missing or damaged file.
    """
    if not path.is_file():
        raise InputError(f"there is no checkpoint at {path}: nothing to resume from")
    try:
        return _rich(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise InputError(f"the checkpoint {path} is damaged ({type(error).__name__}): train again") from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"__array__": torch.from_numpy(np.ascontiguousarray(value).view(np.uint8).reshape(-1).copy()),
                "dtype": value.dtype.str, "shape": list(value.shape)}  # fmt: skip
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 63:
        # a generator's state is wider than a machine integer
        return {"__integer__": json.dumps(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _rich(value: Any) -> Any:
    if isinstance(value, dict):
        if "__array__" in value:
            return value["__array__"].numpy().view(np.dtype(value["dtype"])).reshape(value["shape"]).copy()
        if "__integer__" in value:
            return json.loads(value["__integer__"])
        return {key: _rich(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rich(item) for item in value]
    return value
