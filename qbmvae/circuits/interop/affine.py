"""Recover where an angle comes from when another package only shows its value."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from qbmvae.circuits.operations import Angle, Source
from samplers.errors import InputError


def probes(shape: tuple[int, ...], rng: np.random.Generator) -> list[np.ndarray]:
    """Return three random arrays at which to look at the angles of a circuit."""
    return [rng.uniform(0.5, 2.5, shape) for _ in range(3)]


def recover(name: str, values: Sequence[float], sources: dict[Source, list[np.ndarray]], rtol: float = 1e-9) -> Angle:
    """Return the angle whose values at three probes of every source are `values`.

    Raises
    ------
    InputError
        If it is not scale * source + offset for one entry of one source.
    """
    a, b, c = (float(v) for v in values)
    if a == b == c:
        return Angle("constant", offset=a)
    for source, (u, v, w) in sources.items():
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (b - a) / (v - u)
            found = np.isclose(slope * (w - u), c - a, rtol=rtol, atol=1e-12) & (slope != 0)
        for index in np.flatnonzero(found):
            scale = float(slope[index])
            return Angle(source, int(index), _clean(scale), _clean(a - scale * float(u[index])))
    raise InputError(f"gate {name}: its angle is not a multiple of one parameter or feature plus a constant")


def recover_function(name: str, function: Callable[[float], float]) -> tuple[float, float]:
    """Return (scale, offset) of an affine function of one number."""
    a, b, c = (float(function(t)) for t in (0.0, 1.0, 2.5))
    if not np.isclose(a + 2.5 * (b - a), c, rtol=1e-9, atol=1e-12):
        raise InputError(f"gate {name}: its angle is not a multiple of one parameter plus a constant")
    return _clean(b - a), _clean(a)


def _clean(value: float) -> float:
    rounded = round(value, 9)
    return rounded + 0.0 if abs(rounded - value) < 1e-12 else value
