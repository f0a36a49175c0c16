"""Recover where an angle comes from when another package only shows its value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qbmvae.circuits.operations import Angle, Source
from samplers.errors import InputError

# ranges of the trial values: the first three fix slope and offset, the others (negative, small, large) must lie on that
# line, so that absolute values, clips and remainders do not pass for straight lines
RANGES = ((0.5, 2.5), (0.5, 2.5), (0.5, 2.5), (-2.5, -0.5), (-0.1, 0.1), (-60.0, 60.0), (-60.0, 60.0))


def probes(shape: tuple[int, ...], rng: np.random.Generator) -> list[np.ndarray]:
    """Return random arrays at which to look at the angles of a circuit, one for each of `RANGES`."""
    return [rng.uniform(low, high, shape) for low, high in RANGES]


def recover(name: str, values: Sequence[float], sources: dict[Source, list[np.ndarray]], rtol: float = 1e-9) -> Angle:
    """Return the angle whose values at the probes of every source are `values`.

    Parameters
    ----------
    name
        The gate, for the message.
    values
        (n_probes,) the angle at each probe, in radians.
    sources
        The probes of "param" and "feature", each a list of flat arrays.
    rtol
        Relative tolerance of the comparison.

    Raises
    ------
    InputError
        If it is not scale * source + offset for one entry of one source.
    """
    angle = np.asarray(values, dtype=float)
    if not np.isfinite(angle).all():
        raise InputError(
            f"gate {name}: its angle is {angle[~np.isfinite(angle)][0]} at a trial value: give finite ones"
        )
    if (angle == angle[0]).all():
        return Angle("constant", offset=float(angle[0]))
    for source, trials in sources.items():
        x = np.stack(trials)  # (n_probes, n_entries)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (angle[1] - angle[0]) / (x[1] - x[0])
            line = angle[0] + slope * (x - x[0])
            found = np.isclose(line, angle[:, None], rtol=rtol, atol=1e-10).all(0) & (slope != 0)
        for index in np.flatnonzero(found):
            scale = float(slope[index])
            return Angle(source, int(index), _clean(scale), _clean(angle[0] - scale * float(x[0, index])))
    raise InputError(f"gate {name}: its angle is not a multiple of one parameter or feature plus a constant")


def _clean(value: float) -> float:
    rounded = round(value, 9)
    return rounded + 0.0 if abs(rounded - value) < 1e-11 else value
