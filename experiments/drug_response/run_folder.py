"""The run folder: resolved config, versions, and JSON or text files that are replaced in one move."""

from __future__ import annotations

import json
import math
import os
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from samplers.errors import InputError

PACKAGES = ("qbmvae", "torch", "numpy", "scipy", "pandas", "rdkit", "scikit-learn", "xgboost", "numba")


def create(folder: Path, config: dict[str, Any], *, started: bool) -> None:
    """Make the folder and write `config.yaml` and `versions.json`; work of another configuration is not overwritten.

    Parameters
    ----------
    folder
        The run folder.
    config
        Plain values.
    started
        Whether the folder holds work to go on with (a checkpoint, finished cells).
    """
    path = folder / "config.yaml"
    if path.is_file() and started:
        before = yaml.safe_load(path.read_text())
        changed = sorted(k for k in {*before, *config} if before.get(k) != config.get(k))
        if changed:
            raise InputError(
                f"{folder} holds a run with another {changed[0]!r} ({before.get(changed[0])!r}, now "
                f"{config.get(changed[0])!r}): choose another --out"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, yaml.safe_dump(config, sort_keys=False))
    write_json(folder / "versions.json", versions())


def versions() -> dict[str, str]:
    """Return the versions of what produces numbers."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def read_config(folder: Path) -> dict[str, Any]:
    """Return the resolved configuration of a run folder."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise InputError(f"{folder} is not a run folder: it has no config.yaml")
    return yaml.safe_load(path.read_text())


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; numbers that are not finite become null."""
    write_text(path, json.dumps(finite(value), indent=1))


def write_text(path: Path, text: str) -> None:
    """Write text to a temporary file in the same folder, then move it over `path`."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w") as out:
        out.write(text)
    os.replace(temporary, path)


def finite(value: Any) -> Any:
    """Return a JSON-able value: numpy scalars as numbers, numbers that are not finite as None."""
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
