"""Checks of options and arguments; each message names the option and what it takes."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from samplers.errors import InputError


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return `value` if it is an integer >= `least`."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} must be a whole number >= {least}, not {value!r}")
    return int(value)


def number(name: str, value: Any, *, least: float | None = None, words: str = "a finite number") -> float:
    """Return `value` as a float if it is one finite real number, not below `least`.

    Parameters
    ----------
    name, value
        The option; arrays, texts, booleans and complex numbers are refused.
    least
        The smallest value that is allowed; None for any.
    words
        What the message asks for.
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_)
    if not real or not np.isfinite(float(value)) or (least is not None and value < least):
        raise InputError(f"{name} must be {words}, not {value!r}")
    return float(value)


def positive(name: str, value: Any) -> float:
    """Return `value` if it is a finite number > 0."""
    found = number(name, value)
    if found <= 0:
        raise InputError(f"{name} must be > 0, not {value!r}")
    return found


def non_negative(name: str, value: Any) -> float:
    """Return `value` if it is a finite number >= 0."""
    return number(name, value, least=0, words="a finite number >= 0")


def share(name: str, value: Any) -> float:
    """Return `value` if it lies in [0, 1]."""
    found = number(name, value)
    if not 0 <= found <= 1:
        raise InputError(f"{name} must be between 0 and 1, not {value!r}")
    return found


def one_of(name: str, value: Any, known: tuple[str, ...]) -> str:
    """Return `value` if it is one of the `known` words."""
    if value not in known:
        raise InputError(f"{name} must be one of {', '.join(map(repr, known))}, not {value!r}")
    return value


def interval(name: str, value: Any) -> tuple[float, float]:
    """Return `value` as (low, high) with low < 0 < high; a single number x means (-x, x)."""
    try:
        low, high = (-value, value) if isinstance(value, numbers.Real) else value
        low, high = number(name, low), number(name, high)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < 0 < high:
        raise InputError(f"{name} must be a range (low, high) around 0, not {value!r}")
    return low, high


def seed_of(seed: Any) -> int | np.random.Generator | None:
    """Return a seed as samplers take it: None, an integer >= 0, or a `numpy.random.Generator`.

    Parameters
    ----------
    seed
        None, an integer, a `Generator`, a `SeedSequence` (stands for an integer) or a `BitGenerator`.

    Raises
    ------
    InputError
        For any other seed; the message names its type.
    """
    if seed is None or isinstance(seed, np.random.Generator):
        return seed
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool | np.bool_) and seed >= 0:
        return int(seed)
    if isinstance(seed, np.random.SeedSequence):
        return int.from_bytes(seed.generate_state(2, np.uint64).tobytes(), "little")
    if isinstance(seed, np.random.BitGenerator):
        return np.random.Generator(seed)
    kind = f"{type(seed).__module__}.{type(seed).__qualname__}".removeprefix("builtins.")
    shown = f" {seed!r}" if isinstance(seed, int | float | str) else ""
    raise InputError(
        f"seed must be a whole number >= 0, a numpy.random.Generator or None, not {kind}{shown}: "
        "use an integer, or numpy.random.default_rng(integer)"
    )
