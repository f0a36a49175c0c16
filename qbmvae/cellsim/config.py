"""Configurations of a simulation: a preset's name, a YAML file or a mapping, checked key by key.

Parameters
----------
value
    What the configuration holds.
where
    Its place there, for messages.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qbmvae.cellsim.presets import PRESETS, preset
from samplers.errors import InputError, nearest, require

#: Keys of each section; a section that is not listed holds names of the user's own.
KEYS: dict[str, tuple[str, ...]] = {
    "": (
        "cell_types",
        "edges",
        "condition",
        "conditions",
        "counts",
        "housekeeping",
        "n_cells",
        "pairs",
        "library",
        "batches",
        "dropout",
        "ambient",
        "doublets",
        "trajectory",
        "spatial",
        "reference",
        "seed",
    ),
    "counts": ("mean", "size"),
    "housekeeping": ("n", "mean", "size", "prefix"),
    "library": ("sigma",),
    "batches": ("n", "sigma"),
    "dropout": ("rate", "midpoint", "slope"),
    "ambient": ("fraction",),
    "doublets": ("rate",),
    "trajectory": ("steps", "branches"),
    "spatial": ("radius", "size"),
    "reference": ("path", "cell_type_key", "layer", "genes"),
    "conditions.*": ("edges", "activations", "housekeeping", "n_cells"),
    "trajectory.branches.*": ("parent", "activations", "share"),
}


def load(config: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Return a checked configuration.

    Parameters
    ----------
    config
        A preset ("paper-case-1", "paper-case-2", "paper-notebook"), the path of a YAML file, or a mapping.

    Raises
    ------
    InputError
        For an unknown preset, a file that is not YAML, or an unknown key; the message names the nearest.
    """
    if isinstance(config, Mapping):
        settings = copy.deepcopy(dict(config))
    elif str(config) in PRESETS:
        settings = preset(str(config))
    else:
        settings = _read(Path(config))
    _check_keys(settings, KEYS[""], "the configuration")
    for section, keys in KEYS.items():
        if section.endswith(".*"):
            parent: Any = settings
            for part in section[:-2].split("."):
                parent = (parent or {}).get(part)
            for name, entry in section_of(parent, section[:-2]).items():
                _check_keys(section_of(entry, f"{section[:-1]}{name}"), keys, f"{section[:-1]}{name}")
        elif section:
            _check_keys(section_of(settings.get(section), section), keys, section)
    return settings


def section_of(value: Any, where: str) -> dict[str, Any]:
    """Return a section of the configuration as a dictionary ({} for None).

    Raises
    ------
    InputError
        For what is no mapping.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a mapping of keys to values, not {value!r}")
    return dict(value)


def number(
    value: Any, where: str, low: float = -math.inf, high: float = math.inf, *, above: float | None = None
) -> float:
    """Return a finite number within [low, high] (and > above); raise `InputError` with its place otherwise.

    Parameters
    ----------
    low, high
        Smallest and largest value that is allowed.
    above
        The value must be greater; no such bound by default.

    Raises
    ------
    InputError
        For anything else; the message names the place.
    """
    if isinstance(value, bool) or (not isinstance(value, (int, float)) and not hasattr(value, "__float__")):
        raise InputError(f"{where} is {value!r}: give a number")
    out = float(value)
    if not math.isfinite(out) or not low <= out <= high:
        raise InputError(f"{where} is {value}: it must lie in [{low:g}, {high:g}]")
    if above is not None and out <= above:
        raise InputError(f"{where} is {value}: it must be greater than {above:g}")
    return out


def count(value: Any, where: str, low: int = 1) -> int:
    """Return an integer of at least `low`.

    Parameters
    ----------
    low
        Smallest value that is allowed.

    Raises
    ------
    InputError
        For anything else; the message names the place.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < low:
        raise InputError(f"{where} is {value!r}: give an integer of at least {low}")
    return int(value)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    if not path.exists():
        known = "" if path.suffix in (".yaml", ".yml", ".json") else nearest(path, PRESETS)
        raise InputError(f"no preset and no file is called {str(path)!r}{known}")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a YAML file: {error}") from error
    if not isinstance(settings, Mapping):
        raise InputError(f"{path} holds no mapping: a configuration starts with keys such as 'cell_types:'")
    return dict(settings)


def _check_keys(section: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    known = tuple(known)
    for key in section:
        require(key, known, f"{where} has an unknown key")
