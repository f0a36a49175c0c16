"""One gate of a circuit and where its angles come from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from samplers.errors import InputError

Source = Literal["param", "feature", "constant"]


@dataclass(frozen=True, slots=True)
class Angle:
    """An angle in radians: scale * params[index] + offset, scale * features[:, index] + offset, or offset alone."""

    source: Source
    index: int = 0
    scale: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if self.source not in ("param", "feature", "constant"):
            raise InputError(f"an angle comes from 'param', 'feature' or 'constant', not {self.source!r}")
        if self.source != "constant":
            _index("angle", self.source, self.index)
        if not (math.isfinite(self.scale) and math.isfinite(self.offset)):
            raise InputError(f"an angle of scale {self.scale} and offset {self.offset} is not a finite number")

    def evaluate(self, params: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return the angle, () or (batch,)."""
        if self.source == "constant":
            return torch.as_tensor(self.offset, dtype=params.dtype, device=params.device)
        value = params[self.index] if self.source == "param" else features[:, self.index]
        return value * self.scale + self.offset


@dataclass(frozen=True, slots=True)
class Operation:
    """A gate on qubits with its angles; `name` is a key of `gates.GATES`."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...] = ()


def make_angles(
    gate: str,
    count: int,
    param: int | tuple[int, ...] | None = None,
    feature: int | tuple[int, ...] | None = None,
    angle: float | tuple[float, ...] | None = None,
    scale: float = 1.0,
) -> tuple[Angle, ...]:
    """Read the angle arguments of a gate method: exactly one of param, feature and angle, `count` values of it.

    Parameters
    ----------
    gate
        Name of the gate, for messages.
    count
        Angles that it takes.
    param
        Position or positions in `params`.
    feature
        Position or positions in `features`.
    angle
        The value or values, in radians.
    scale
        Factor on params and features.

    Raises
    ------
    InputError
        Unless exactly one of the three is given, with `count` values.
    """
    given = {"param": param, "feature": feature, "constant": angle}
    named = [(source, value) for source, value in given.items() if value is not None]
    if len(named) != 1:
        raise InputError(f"{gate}: give exactly one of param=, feature= and angle= (got {len(named)})")
    source, value = named[0]
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) != count:
        raise InputError(f"{gate} takes {count} angles: {len(values)} given")
    if not math.isfinite(scale):
        raise InputError(f"{gate}: scale is {scale}, not a finite number")
    if source == "constant":
        return tuple(Angle("constant", offset=_finite(gate, v) * scale) for v in values)
    return tuple(Angle(source, _index(gate, source, v), float(scale)) for v in values)  # type: ignore[arg-type]


def _finite(gate: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError(f"{gate}: angle {value!r} is not a number") from None
    if not math.isfinite(number):
        raise InputError(f"{gate}: angle is {number}, not a finite number of radians")
    return number


def _index(gate: str, source: str, value: object) -> int:
    try:
        index = value.__index__()  # type: ignore[attr-defined]
    except (AttributeError, TypeError):
        raise InputError(f"{gate}: {source}={value!r} is not an integer (it is a position in {source}s)") from None
    if index < 0 or isinstance(value, bool):
        raise InputError(f"{gate}: {source}={value!r} is not a position 0, 1, 2, ...")
    return index
