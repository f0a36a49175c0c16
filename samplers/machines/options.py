"""Checks of the options that machines and wrappers share; each message names the option and what it takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from samplers.errors import InputError


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return `value` if it is a whole number >= `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} must be a whole number >= {least}, not {value!r}")
    return int(value)


def positive(name: str, value: Any) -> float:
    """Return `value` if it is a finite number > 0."""
    number = _number(name, value)
    if number <= 0:
        raise InputError(f"{name} must be > 0, not {value!r}")
    return number


def non_negative(name: str, value: Any) -> float:
    """Return `value` if it is a finite number >= 0."""
    number = _number(name, value)
    if number < 0:
        raise InputError(f"{name} must be >= 0, not {value!r}")
    return number


def share(name: str, value: Any) -> float:
    """Return `value` if it lies in [0, 1]."""
    number = _number(name, value)
    if not 0 <= number <= 1:
        raise InputError(f"{name} must be between 0 and 1, not {value!r}")
    return number


def one_of(name: str, value: Any, known: tuple[str, ...]) -> str:
    """Return `value` if it is one of the `known` words."""
    if value not in known:
        raise InputError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")
    return value


def interval(name: str, value: Any) -> tuple[float, float]:
    """Return `value` as (low, high) with low < 0 < high; a single number x means (-x, x)."""
    low, high = (-value, value) if isinstance(value, int | float) else value
    if not (np.isfinite(low) and np.isfinite(high) and low < 0 < high):
        raise InputError(f"{name} must be a range (low, high) around 0, not {value!r}")
    return float(low), float(high)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
        raise InputError(f"{name} must be a finite number, not {value!r}")
    return float(value)
