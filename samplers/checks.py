"""Checks of options and arguments; each message names the option and what it takes."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence

import numpy as np

from samplers.errors import InputError, nearest


def integer(name: str, value: object, least: int = 1) -> int:
    """Return `value` if it is an integer >= `least`.

    Parameters
    ----------
    name, value
        The option.
    least
        The smallest value that is allowed.

    Raises
    ------
    InputError
        For anything but an integer >= `least`.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} must be a whole number >= {least}, not {value!r}")
    return int(value)


def number(name: str, value: object, *, least: float | None = None, words: str = "a finite number") -> float:
    """Return `value` as a float if it is one finite real number, not below `least`.

    Parameters
    ----------
    name, value
        The option; arrays, texts, booleans and complex numbers are refused.
    least
        The smallest value that is allowed; None for any.
    words
        What the message asks for.

    Raises
    ------
    InputError
        For anything else.
    """
    # float first: the abstract class costs microseconds
    if isinstance(value, bool | np.bool_) or not isinstance(value, float | numbers.Real):
        raise InputError(f"{name} must be {words}, not {value!r}")
    found = float(value)
    if not math.isfinite(found) or (least is not None and found < least):
        raise InputError(f"{name} must be {words}, not {value!r}")
    return found


def positive(name: str, value: object) -> float:
    """Return `value` if it is a finite number > 0.

    Raises
    ------
    InputError
        For anything else.
    """
    found = number(name, value)
    if found <= 0:
        raise InputError(f"{name} must be > 0, not {value!r}")
    return found


def non_negative(name: str, value: object) -> float:
    """Return `value` if it is a finite number >= 0.

    Raises
    ------
    InputError
        For anything else.
    """
    return number(name, value, least=0, words="a finite number >= 0")


def share(name: str, value: object) -> float:
    """Return `value` if it lies in [0, 1].

    Raises
    ------
    InputError
        For anything else.
    """
    found = number(name, value)
    if not 0 <= found <= 1:
        raise InputError(f"{name} must be between 0 and 1, not {value!r}")
    return found


def one_of(name: str, value: str, known: Iterable[str]) -> str:
    """Return `value` if it is one of the `known` words.

    Parameters
    ----------
    name, value
        The option.
    known
        The words that are allowed.

    Raises
    ------
    InputError
        For any other value.
    """
    words = tuple(known)
    if value not in words:
        hint = nearest(value, words)
        hint = hint if hint.startswith("; nearest") else ""
        raise InputError(f"{name} must be one of {', '.join(map(repr, words))}, not {value!r}{hint}")
    return value


def interval(name: str, value: object) -> tuple[float, float]:
    """Return `value` as (low, high) with low < 0 < high; a single number x means (-x, x).

    Raises
    ------
    InputError
        For anything else.
    """
    pair = (-value, value) if isinstance(value, int | float) else value
    low, high = pair if isinstance(pair, Sequence | np.ndarray) and len(pair) == 2 else (0.0, 0.0)
    low, high = number(name, low), number(name, high)
    if not low < 0 < high:
        raise InputError(f"{name} must be a range (low, high) around 0, not {value!r}")
    return low, high


def seed_of(seed: object) -> int | np.random.Generator | None:
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
