"""Values as a reader wants them: numbers, counts, and estimates with a spread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np


def number(value: Any, decimals: int | None = None) -> str:
    """Return a value as text: counts as integers, a dash for what is not defined, some decimals.

    Without `decimals` there are three, and a value that they would round to 0 is written with its exponent.
    """
    if isinstance(value, Spread):
        return value.text(decimals)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        if not np.isfinite(value):
            return "–"
        if decimals is None and value != 0 and abs(float(value)) < 0.0005:
            return f"{value:.1e}"
        decimals = 3 if decimals is None else decimals
        if abs(float(value)) < 100:
            return f"{value:.{decimals}f}"
        return f"{value:,.0f}" if value % 1 == 0 else f"{value:,.1f}"
    if value is None:
        return "–"
    return f"{int(value):,}" if isinstance(value, int | np.integer) else str(value)


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    head = list(head)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


@dataclass(frozen=True)
class Spread:
    """An estimate and the range that it is given with.

    Attributes
    ----------
    value
        The estimate; NaN where there is none.
    low, high
        The ends of its range; both equal to the estimate where no spread is known.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return mean ± standard deviation of some values; a single value has no range."""
        known = np.asarray([v for v in values if v is not None and np.isfinite(v)], dtype=np.float64)
        if not len(known):
            return cls(float("nan"), float("nan"), float("nan"))
        mean, half = float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else 0.0
        return cls(mean, mean - half, mean + half)

    @classmethod
    def around(cls, value: float, half: float | None) -> Spread:
        """Return value ± half; no range where half is not known."""
        half = 0.0 if half is None or not np.isfinite(half) else float(half)
        return cls(float(value), float(value) - half, float(value) + half)

    def __str__(self) -> str:
        return self.text()

    def text(self, decimals: int | None = None) -> str:
        """Return the value with its range, as `value ± half` or `value (low to high)`."""
        text, half = number(self.value, decimals), (self.high - self.low) / 2
        if not np.isfinite(self.value) or not half > 1e-9 * max(1.0, abs(self.value)):
            return text
        if abs(self.high + self.low - 2 * self.value) < 1e-6 * half:
            return f"{text} ± {number(half, decimals)}"
        return f"{text} ({number(self.low, decimals)} to {number(self.high, decimals)})"


def ends(value: Any) -> tuple[float, float, float]:
    """Return (value, low, high) of a number or a `Spread`; NaN for text."""
    if isinstance(value, Spread):
        return value.value, value.low, value.high
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return float("nan"), float("nan"), float("nan")
    return float(value), float(value), float(value)
