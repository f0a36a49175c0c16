"""The cases of the paper (Romero et al. 2025) as configurations; copy one and change it."""

from __future__ import annotations

import copy
from typing import Any

from samplers.errors import InputError, nearest

_CELL_TYPES = {
    "CT1": {"g0": 0.2, "g1": 0.1, "g2": 0.4, "g3": 0.9, "g4": 0.8},
    "CT2": {"g5": 0.2, "g6": 0.3, "g7": 0.2, "g8": 0.7, "g9": 0.5},
}
_PAIRS = [
    ["g3", "g5", "CT1", "CT2"],
    ["g7", "g0", "CT2", "CT1"],
    ["g8", "g4", "CT2", "CT1"],
    ["g9", "g4", "CT2", "CT1"],
]
_INTERACTING = {"edges": [["g3", "g5"], ["g5", "g7"], ["g7", "g0"]]}
_APART = {"edges": [["g2", "g1"]]}
_BASE = {
    "cell_types": _CELL_TYPES,
    "counts": {"mean": 5.0, "size": 1.0},
    "housekeeping": {"n": 50, "mean": 80.0, "size": 6.0},
    "n_cells": 2000,
    "pairs": _PAIRS,
}

#: The published notebook, not the text, has other housekeeping genes in the interacting run.
PRESETS: dict[str, dict[str, Any]] = {
    "paper-case-1": _BASE | {"conditions": {"interacting": _INTERACTING}},
    "paper-case-2": _BASE | {"conditions": {"non-interacting": _APART}},
    "paper-notebook": _BASE
    | {
        "conditions": {
            "non-interacting": _APART,
            "interacting": _INTERACTING | {"housekeeping": {"mean": 100.0, "size": 5.0}},
        }
    },
}


def preset(name: str) -> dict[str, Any]:
    """Return a copy of a preset's configuration: "paper-case-1", "paper-case-2" or "paper-notebook".

    Raises
    ------
    InputError
        For an unknown name.
    """
    if name not in PRESETS:
        raise InputError(f"unknown preset {name!r}{nearest(name, PRESETS)}; or give the path of a YAML file")
    return copy.deepcopy(PRESETS[name])


def paper_pairs() -> list[tuple[str, str, str, str]]:
    """Return the paper's pairs (ligand, receptor, sender, receiver): the first two are programmed, the others not."""
    return [(ligand, receptor, sender, receiver) for ligand, receptor, sender, receiver in _PAIRS]
