"""Checks of the options that strategies share."""

from __future__ import annotations

from typing import Any

import numpy as np

from samplers.errors import InputError


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int; raise `InputError` unless it is a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} must be a whole number >= {least}, not {value!r}")
    return int(value)


def rows_for(initial_states: np.ndarray, num: int) -> np.ndarray:
    """Return `num` starting states; a single one is repeated, any other number is refused."""
    if len(initial_states) == 1:
        return np.repeat(initial_states, num, axis=0)
    if len(initial_states) != num:
        raise InputError(f"initial_states have {len(initial_states)} rows for {num} reads: give one row, or one a read")
    return initial_states
