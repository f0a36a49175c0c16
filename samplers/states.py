"""Spin states and clamped spins in every form that users have them: arrays, dicts by label, `dimod` sample sets."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import dimod
import numpy as np

from samplers.errors import InputError, nearest


def check_states(states: Any, labels: Sequence[Hashable] | int, vartype: str = "SPIN") -> np.ndarray:
    """Return states as `(rows, n)` int8 in {-1, +1}, in the order of the problem's spins.

    Parameters
    ----------
    states
        An array, tensor or nested list of one state or one row a state; `Draws`; a `dimod.SampleSet` (its variables may
        stand in another order, its vartype counts); a mapping from label to value, or a sequence of them; a pair
        (array, labels); a pandas DataFrame, whose columns are labels.
    labels
        The labels of the problem's spins, or their number.
    vartype
        Values of states that do not know their own: "SPIN" (-1 and +1) or "BINARY" (0 and 1).

    Raises
    ------
    InputError
        For another width, other labels or other values; the message names the first.
    """
    labels = range(labels) if isinstance(labels, int) else labels
    states = getattr(states, "states", states)
    if isinstance(states, dimod.SampleSet):
        vartype = states.vartype.name
        rows = np.repeat(states.record.sample, states.record.num_occurrences, axis=0)
        states = rows[:, _columns(list(states.variables), labels)]
    elif isinstance(states, Mapping):
        states = _by_label([states], labels)
    elif hasattr(states, "columns") and hasattr(states, "to_numpy"):
        states = states.to_numpy()[:, _columns(list(states.columns), labels)]
    elif isinstance(states, tuple) and len(states) == 2 and _are_labels(states, labels):
        states = np.atleast_2d(np.asarray(states[0]))[:, _columns(list(states[1]), labels)]
    elif isinstance(states, Sequence) and len(states) and all(isinstance(row, Mapping) for row in states):
        states = _by_label(states, labels)
    elif hasattr(states, "detach"):
        states = states.detach().cpu().numpy()
    return _spins(states, len(labels), vartype)


def clamped_spins(
    clamped: Any, labels: Sequence[Hashable], vartype: str = "SPIN", *, by_label: bool = False
) -> dict[int, int]:
    """Return clamped spins as a dict from spin index to -1 or +1.

    Parameters
    ----------
    clamped
        A mapping (dict, pandas Series, `dimod` sample) from spin to value.
    labels
        The labels of the problem's spins; a spin is named by its index, or by its label.
    vartype
        "SPIN" for values -1 and +1, "BINARY" for 0 and 1.
    by_label
        Whether an integer is a label before it is an index: for problems made of a `dimod` model.

    Raises
    ------
    InputError
        For a spin that the problem does not have or that is named twice, and for other values.
    """
    if isinstance(clamped, dimod.SampleSet):
        if len(clamped) != 1:
            raise InputError(
                f"clamped takes one state, this sample set holds {len(clamped)}: give sampleset.first.sample"
            )
        clamped, vartype = clamped.first.sample, clamped.vartype.name
    if not hasattr(clamped, "items"):
        raise InputError(f"clamped must map spins to values, such as {{0: 1, 3: -1}}, not {type(clamped).__name__}")
    allowed = (0, 1) if vartype == "BINARY" else (-1, 1)
    index = _index(labels)
    found: dict[int, int] = {}
    for name, value in clamped.items():
        spin = _spin(name, len(labels), index, by_label, "clamped spin")
        known = isinstance(value, int | float | np.number | np.bool_) and value in allowed
        if not known or (vartype == "SPIN" and isinstance(value, bool | np.bool_)):
            raise InputError(
                f"clamped spin {name!r} has value {value!r}: {vartype} spins take {allowed[0]} or {allowed[1]}"
            )
        if spin in found:
            raise InputError(f"spin {name!r} is clamped twice, by its label and by its index {spin}")
        found[spin] = 1 if value == 1 else -1
    return found


def spin_of(name: Any, labels: Sequence[Hashable]) -> int:
    """Return the index of a spin that is named by its index or label; raise `InputError` where there is none."""
    return _spin(name, len(labels), _index(labels), False)


def _index(labels: Sequence[Hashable]) -> dict[Hashable, int]:
    """Return where each label stands; nothing where the labels are the indices themselves."""
    return {} if labels == range(len(labels)) else {label: k for k, label in enumerate(labels)}


def _spin(name: Any, n: int, index: Mapping[Hashable, int], by_label: bool, what: str = "spin") -> int:
    integer = isinstance(name, int | np.integer) and not isinstance(name, bool)
    if integer and not (by_label and index):
        if 0 <= name < n:
            return int(name)
        raise InputError(f"{what} {name} is out of range: the problem has spins 0 to {n - 1}")
    if isinstance(name, Hashable) and name in index:
        return index[name]
    raise InputError(f"the problem has no spin {name!r}{nearest(name, index or range(n))}")


def _are_labels(pair: tuple[Any, Any], labels: Sequence[Hashable]) -> bool:
    """Tell a pair (array, labels), as `dimod` takes it, from two rows."""
    if np.ndim(pair[0]) == 2:
        return True
    try:
        return set(pair[1]) == set(labels)
    except TypeError:
        return False


def _columns(names: list[Hashable], labels: Sequence[Hashable]) -> list[int]:
    """Return where each of `labels` stands in `names`."""
    where = {name: k for k, name in enumerate(names)}
    missing = [label for label in labels if label not in where]
    if missing or len(names) != len(labels):
        extra = [name for name in names if name not in set(labels)]
        said = (
            f"lack {missing[0]!r}" if missing else f"hold {extra[0] if extra else names[0]!r}, which the problem lacks"
        )
        raise InputError(f"initial states of {len(names)} variables {said}: the problem has {len(labels)} spins")
    return [where[label] for label in labels]


def _by_label(rows: Sequence[Mapping[Hashable, Any]], labels: Sequence[Hashable]) -> np.ndarray:
    return np.array([[row[names[k]] for k in _columns(names, labels)] for row in rows for names in [list(row)]])


def _spins(states: Any, n: int, vartype: str) -> np.ndarray:
    try:
        array = np.asarray(states)
    except ValueError:
        raise InputError("initial states must be rows of equal length") from None
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] != n or not len(array):
        raise InputError(f"initial states have shape {np.shape(states)}: give ({n},) or (num_reads, {n}) spins")
    if array.dtype.kind not in "iufb" or (array.dtype.kind == "b" and vartype == "SPIN"):
        raise InputError(f"initial states are of type {array.dtype}: give numbers -1 and +1")
    low, high = (0, 1) if vartype == "BINARY" else (-1, 1)
    wrong = (array != low) & (array != high)
    if wrong.any():
        row, spin = np.argwhere(wrong)[0]
        hint = (
            "; 0 and 1 become spins by 2 * x - 1"
            if vartype == "SPIN" and not ((array != 0) & (array != 1)).any()
            else ""
        )
        raise InputError(
            f"initial states hold {array[row, spin]!r} (row {row}, spin {spin}), not {low} or {high}{hint}"
        )
    return np.where(array == 1, np.int8(1), np.int8(-1))
