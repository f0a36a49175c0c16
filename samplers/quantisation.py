"""Coefficients as machines take them: on a grid, within ranges, with a report of what was lost."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from samplers.problem import Ising

Range = tuple[float, float]


def quantise_problem(
    problem: Ising, bits: int | None = 8, h_range: Range | None = None, j_range: Range | None = None
) -> tuple[Ising, dict[str, float]]:
    """Return the problem with clipped and rounded coefficients, and the report.

    Parameters
    ----------
    problem
        The Ising problem, in the machine's units.
    bits
        Levels of the grid: 2^bits - 1, symmetric around 0, over each range; None does not round.
    h_range, j_range
        The machine's ranges of fields and couplings (low, high); None means (-m, m), m being the largest magnitude of
        the coefficients, so that nothing is clipped.

    Returns
    -------
    Ising
        The same layout, with the same pairs where no coupling rounds to 0.
    dict
        "clip_fraction" of all coefficients that were outside a range, "clip_fraction_h" and "clip_fraction_j", and
        "rms_error": the root mean square change over the root mean square coefficient.
    """
    h, clipped_h = _grid(problem.h, bits, h_range)
    values = problem.edges[2]
    largest = float(np.abs(values).max(initial=0.0))
    limits = j_range if j_range is not None else (-largest, largest)
    rounded_values, clipped_j = _grid(values, bits, limits)
    rounded = problem.map_couplings(lambda couplings: _grid(couplings, bits, limits)[0]).with_fields(h)
    total = max(1, len(h) + len(values))
    change = np.concatenate([h - problem.h, rounded_values - values])
    scale = np.sqrt(np.mean(np.square(np.concatenate([problem.h, values])))) if len(h) else 0.0
    report = {
        "clip_fraction": float((clipped_h + clipped_j) / total),
        "clip_fraction_h": float(clipped_h / max(1, len(h))),
        "clip_fraction_j": float(clipped_j / max(1, len(values))),
        "rms_error": float(np.sqrt(np.mean(np.square(change))) / scale) if scale else 0.0,
    }
    return rounded, report


@dataclass(frozen=True)
class ClipReport:
    """What a machine's range and resolution did to a problem.

    Attributes
    ----------
    clipped
        Share of the non-zero coefficients that were cut to the range.
    worst
        The largest ``|coefficient|`` over its limit; 1 or less where nothing was cut.
    rounding
        Root mean square of the rounding, relative to that of the coefficients; 0 without rounding.
    """

    clipped: float
    worst: float
    rounding: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Return the three figures, for `Draws.info`."""
        return dataclasses.asdict(self)


def clip(
    h: np.ndarray, J: np.ndarray, h_range: tuple[float, float], j_range: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, ClipReport]:
    """Return fields and couplings cut to a machine's ranges, and the report.

    Parameters
    ----------
    h, J
        Any shapes.
    h_range, j_range
        Least and greatest value; they hold 0 inside.
    """
    h_cut, j_cut = np.clip(h, *h_range), np.clip(J, *j_range)
    count = int(np.count_nonzero(h) + np.count_nonzero(J))
    cut = int((h_cut != h).sum() + (j_cut != J).sum())
    worst = max((float(np.max(np.where(x > 0, x / high, x / low), initial=0.0)) for x, (low, high) in ((h, h_range), (J, j_range))))  # fmt: skip
    return h_cut, j_cut, ClipReport(cut / max(1, count), worst)


def quantise(matrix: np.ndarray, gain: float, bits: int) -> tuple[np.ndarray, ClipReport]:
    """Return `gain * matrix` as integers of `bits` bits, sign included, and the report.

    Parameters
    ----------
    matrix
        Coefficients, any shape.
    gain
        The one factor of all of them: coefficients keep their ratios, and a temperature stays what it was.
    bits
        Bits of a coefficient; 8 leaves -127 to 127.
    """
    most = 2 ** (bits - 1) - 1
    exact = matrix * gain
    rounded = np.clip(np.rint(exact), -most, most)
    count = max(1, int(np.count_nonzero(matrix)))
    over = np.abs(exact) > most + 0.5
    power = float(np.sqrt(np.square(exact).sum()))
    lost = float(np.sqrt(np.square((rounded - exact)[~over]).sum())) / power if power else 0.0
    report = ClipReport(float(over.sum()) / count, float(np.abs(exact).max(initial=0.0)) / most, lost)
    return rounded.astype(np.int64), report


def _grid(values: np.ndarray, bits: int | None, limits: Range | None) -> tuple[np.ndarray, int]:
    largest = float(np.abs(values).max(initial=0.0))
    low, high = limits if limits is not None else (-largest, largest)
    clipped = int(((values < low) | (values > high)).sum())
    inside = np.clip(values, low, high)
    reach = max(-low, high)
    if bits is None or reach == 0:
        return inside, clipped
    # a grid through 0, so that absent couplings stay absent
    step = reach / (2 ** (bits - 1) - 1)
    return np.clip(np.round(inside / step) * step, low, high), clipped
