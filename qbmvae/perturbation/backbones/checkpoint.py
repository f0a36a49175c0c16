"""Files of tensors, read without running code that they may hold."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from samplers.errors import InputError

CONVERT = "python -m qbmvae.perturbation.backbones.convert"


def _refusal(path: Path, why: object) -> InputError:
    return InputError(
        f"{path} cannot be loaded safely ({' '.join(str(why).split())[:160]}): loading it could run code. If you trust "
        f"its origin, convert it once with `{CONVERT} {path}`"
    )


def converted(path: str | Path) -> Path:
    """Return where the converter puts the safe copy of `path`."""
    return Path(f"{path}.safetensors" if Path(path).suffix in (".ckpt", ".pt", ".pth", ".torch") else f"{path}.json")


def load_tensors(path: str | Path) -> dict[str, torch.Tensor]:
    """Return a name -> tensor dictionary from a .pt, .ckpt (its `state_dict`) or .safetensors file.

    Raises
    ------
    InputError
        The file needs unpickling of arbitrary objects, or holds something else; the message has the command that
        converts it.
    """
    path = Path(path)
    safe = path if path.suffix == ".safetensors" else converted(path)
    if safe.is_file():
        from safetensors.torch import load_file

        return load_file(safe)
    if not path.is_file():
        raise InputError(f"no file {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(path, str(error).split("WeightsUnpickler error:")[-1]) from None
    except (RuntimeError, EOFError) as error:
        raise InputError(f"{path} is not a readable torch file: {error}") from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise InputError(f"{path} holds {type(content).__name__}, not named tensors")
    return {str(k): v if isinstance(v, torch.Tensor) else torch.as_tensor(v) for k, v in content.items()}


class _PlainUnpickler(pickle.Unpickler):
    """Allows containers, strings, numbers and numpy arrays."""

    _ALLOWED = frozenset(
        {
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy._core.multiarray", "scalar"),
            ("builtins", "set"),
            ("builtins", "frozenset"),
            ("collections", "OrderedDict"),
            ("_codecs", "encode"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return super().find_class(module, name)


def load_plain(path: str | Path) -> Any:
    """Return the containers, strings, numbers and arrays of a pickle, or of its converted .json copy.

    Raises
    ------
    InputError
        The pickle refers to anything else.
    """
    path = Path(path)
    if converted(path).is_file():
        import json

        return json.loads(converted(path).read_text())
    if not path.is_file():
        raise InputError(f"no file {path}")
    with path.open("rb") as file:
        try:
            return _PlainUnpickler(file).load()
        except (pickle.UnpicklingError, AttributeError, EOFError, ImportError, IndexError) as error:
            raise _refusal(path, error) from None
