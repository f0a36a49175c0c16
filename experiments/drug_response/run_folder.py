"""The folder of a drug-response run, on the shared primitives: configuration, versions, and whose work it holds."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from experiments.runs import CONFIG, plain, read_yaml, versions, write_json, write_text
from samplers.errors import InputError

__all__ = ["create", "plain", "read_config", "write_json", "write_text"]


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
    path = folder / CONFIG
    if path.is_file() and started:
        before = yaml.safe_load(path.read_text())
        changed = sorted(k for k in {*before, *config} if before.get(k) != config.get(k))
        if changed:
            raise InputError(
                f"{folder} holds a run with another {changed[0]!r} ({before.get(changed[0])!r}, now "
                f"{config.get(changed[0])!r}): choose another --out"
            )
        return
    write_text(path, yaml.safe_dump(config, sort_keys=False))
    write_json(folder / "versions.json", versions() | {name: version(name) for name in ("rdkit", "scikit-learn")})


def read_config(folder: Path) -> dict[str, Any]:
    """Return the resolved configuration of a run folder."""
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder} is not a run folder: it has no {CONFIG}")
    return read_yaml(folder / CONFIG)
