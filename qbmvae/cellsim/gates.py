"""Edges of a gene circuit: which gene acts on which, through which controlled gate, in which order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from samplers.errors import InputError, nearest, require

#: Controlled gates that an edge may be; `cx` toggles its target, the others rotate it by +-strength * pi.
GATES = ("cx", "crx", "cry", "crz")


@dataclass(frozen=True)
class Edge:
    """One controlled gate between two genes.

    Attributes
    ----------
    control, target
        Indices of the regulator and of the regulated gene.
    gate
        "cx", "crx", "cry" or "crz".
    strength
        Rotation angle in units of pi; 1 for "cx".
    sign
        +1 or -1. A rotation turns by `sign * strength * pi`: with "cry", +1 raises and -1 lowers a target whose angle
        stays within [0, pi]. A "cx" of sign -1 fires when its control is *off* (an open control).
    """

    control: int
    target: int
    gate: str = "cx"
    strength: float = 1.0
    sign: int = 1

    @property
    def angle(self) -> float:
        """Rotation angle in radians, signed; pi for "cx"."""
        return math.pi if self.gate == "cx" else self.sign * self.strength * math.pi

    @property
    def open(self) -> bool:
        """Whether the gate fires when its control is off."""
        return self.gate == "cx" and self.sign < 0


def gate_matrix(edge: Edge) -> np.ndarray:
    """Return the `(2, 2)` complex matrix that the edge's gate applies to its target when its control is on."""
    half = edge.angle / 2
    c, s = math.cos(half), math.sin(half)
    return {
        "cx": np.array([[0, 1], [1, 0]], dtype=complex),
        "crx": np.array([[c, -1j * s], [-1j * s, c]]),
        "cry": np.array([[c, -s], [s, c]], dtype=complex),
        "crz": np.array([[c - 1j * s, 0], [0, c + 1j * s]]),
    }[edge.gate]


def parse_edges(edges: Iterable[Any], names: Sequence[str], where: str = "edges") -> list[Edge]:
    """Return edges in the given order, from pairs, longer tuples or mappings.

    Parameters
    ----------
    edges
        Each `(control, target)`, `(control, target, gate)`, `(control, target, gate, strength)`,
        `(control, target, gate, strength, sign)`, a mapping with these keys, or an `Edge`. Genes are indices or names.
    names
        The genes' names, in the order of their indices.
    where
        What to call the list in an error.

    Raises
    ------
    InputError
        For an unknown gene or gate, a gate whose control is its target, or a strength or sign out of range.
    """
    index = {name: i for i, name in enumerate(names)}
    return [_parse(edge, names, index, f"{where}[{k}]") for k, edge in enumerate(edges)]


def _parse(edge: Any, names: Sequence[str], index: Mapping[str, int], where: str) -> Edge:
    if isinstance(edge, Edge):
        fields: dict[str, Any] = dict(vars(edge))
    elif isinstance(edge, Mapping):
        fields = dict(edge)
        for key in fields:
            require(key, Edge.__dataclass_fields__, f"{where} has an unknown key")
    else:
        if isinstance(edge, str) or not isinstance(edge, Iterable):
            raise InputError(f"{where} is {edge!r}: an edge is (control, target[, gate, strength, sign])")
        values = list(edge)
        if not 2 <= len(values) <= 5:
            raise InputError(f"{where} has {len(values)} entries: an edge is (control, target[, gate, strength, sign])")
        fields = dict(zip(Edge.__dataclass_fields__, values, strict=False))
    if "control" not in fields or "target" not in fields:
        raise InputError(f"{where} needs a control and a target")
    control, target = (_gene(fields[key], names, index, f"{where}: {key}") for key in ("control", "target"))
    if control == target:
        raise InputError(f"{where}: gene {names[control]!r} is both control and target: a gene cannot control itself")
    gate = str(fields.get("gate", "cx")).lower()
    require(gate, GATES, f"{where}: unknown gate")
    return Edge(control, target, gate, _strength(fields.get("strength", 1.0), gate, where), _sign(fields, where))


def _gene(value: Any, names: Sequence[str], index: Mapping[str, int], where: str) -> int:
    if isinstance(value, str):
        if value not in index:
            raise InputError(f"{where} {value!r} is not a gene of the circuit{nearest(value, names)}")
        return index[value]
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise InputError(f"{where} is {value!r}: give a gene's name or index")
    position = value.__index__()
    if not 0 <= position < len(names):
        raise InputError(f"{where} {position} is not a gene of the circuit: it has genes 0 to {len(names) - 1}")
    return position


def _strength(value: Any, gate: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{where}: strength {value!r} must be a finite number (angle in units of pi)")
    if not 0 <= value <= 2:
        raise InputError(f"{where}: strength {value} is outside [0, 2] (units of pi); a repressing edge has sign -1")
    if gate == "cx" and value != 1:
        raise InputError(f"{where}: a cx gate has no strength; use cry, crx or crz for {value}")
    return float(value)


def _sign(fields: Mapping[str, Any], where: str) -> int:
    sign = fields.get("sign", 1)
    signs = {"+": 1, "-": -1, "1": 1, "-1": -1, "+1": 1}
    if str(sign) not in signs:
        raise InputError(f"{where}: sign {sign!r} must be '+' or '-' (or +1, -1)")
    return signs[str(sign)]
