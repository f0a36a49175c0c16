"""What the commands share that fill a grid of an experiment: its configuration, its seeds, and where it is computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import Parameter

from experiments import config
from experiments.cli.common import Positive, Settings
from samplers.errors import InputError


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Grid:
    """What to run and where.

    Parameters
    ----------
    seed
        Run this one seed: short for --set seeds=[SEED].
    workers
        Processes; each takes about 2 GB.
    ray
        Address of a Ray cluster to run on (auto, ray://HOST:10001), or local.
    """

    seed: int | None = None
    workers: Positive = 1
    ray: str | None = None

    @property
    def where(self) -> dict[str, Any]:
        """Arguments of `experiments.comparison.grid.run_entries`."""
        return {"workers": self.workers, "ray": self.ray}

    def overrides(self, settings: Settings) -> dict[str, Any]:
        """Return what wins over a configuration."""
        return settings.overrides if self.seed is None else {**settings.overrides, "seeds": [self.seed]}


def configuration(
    settings: Settings,
    source: str | None,
    grid: Grid,
    default: str | None = None,
    given: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], Path]:
    """Return the values of an experiment's configuration, and its file.

    Parameters
    ----------
    settings
        What `--config` and `--set` gave.
    source
        The first argument of the command: a file, or the name of a shipped one.
    grid
        Options of the grid.
    default
        Name of the shipped configuration that is taken where none is given.
    given
        Options of the command that are settings; they win over the file, `--set` wins over them.

    Raises
    ------
    InputError
        Where there is no configuration, or two.
    """
    name = settings.file or source or default
    if name is None:
        raise InputError("missing argument SOURCE: a YAML configuration or the name of a shipped one")
    file = config.find(name)
    if settings.file is not None and source is not None and config.find(source) != file:
        raise InputError(f"give one configuration: {source} or --config {file}")
    values = config.read_yaml(file) if settings.file is None else dict(settings.values)
    config.apply(values, given)
    config.apply(values, grid.overrides(settings))
    return values, file
