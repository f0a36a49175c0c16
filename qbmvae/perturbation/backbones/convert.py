"""Convert a pickled checkpoint into safetensors or JSON: `python -m qbmvae.perturbation.backbones.convert FILE...`.

This is the one place that unpickles arbitrary objects, and so can run code that a file holds: only for files whose
origin you trust, named by you.
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qbmvae.perturbation.backbones.checkpoint import converted
from samplers.files import write_atomically, write_text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(v) for v in value]
    if isinstance(value, (np.ndarray, torch.Tensor)) or hasattr(value, "tolist"):
        return value.tolist()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def convert(path: str | Path) -> Path:
    """Write the safe copy of a trusted .ckpt/.pt (safetensors) or .pkl (JSON) next to it, and return its path."""
    path, target = Path(path), converted(path)
    if target.suffix == ".json":
        with path.open("rb") as file:
            write_text(target, json.dumps(_plain(pickle.load(file))))
    else:
        from safetensors.torch import save_file

        content = torch.load(path, map_location="cpu", weights_only=False)
        if isinstance(content, dict) and "state_dict" in content:
            content = content["state_dict"]
        copies = {str(k): torch.as_tensor(v).contiguous().clone() for k, v in content.items()}
        write_atomically(target, lambda p: save_file(copies, p))
    return target


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(convert(name))
