"""Observables as Pauli strings: "Z0", "X1", "Z0 Z2"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from samplers.errors import InputError

_FACTOR = re.compile(r"([IXYZ])(\d+)")

PauliString = tuple[tuple[int, str], ...]


def parse(observable: str, n_qubits: int) -> PauliString:
    """Return a Pauli string as ((qubit, letter), ...), sorted by qubit, identities left out.

    Parameters
    ----------
    observable
        Factors separated by spaces or "@", such as "Z0 Z2"; "I" alone is the identity.
    n_qubits
        Size of the register.

    Raises
    ------
    InputError
        If it cannot be read, names a qubit twice, or a qubit outside the register.
    """
    if not isinstance(observable, str):
        raise InputError(f"observable {observable!r}: write it as a string such as 'Z0' or 'X0 Z2'")
    factors = observable.replace("@", " ").split()
    if factors == ["I"]:
        return ()
    if not factors:
        raise InputError("an observable is empty: write it as a string such as 'Z0' or 'X0 Z2'")
    found: dict[int, str] = {}
    for factor in factors:
        match = _FACTOR.fullmatch(factor.upper())
        if match is None:
            raise InputError(f"observable {observable!r}: {factor!r} is not a Pauli letter and a qubit, such as Z0")
        letter, qubit = match[1], int(match[2])
        if qubit >= n_qubits:
            raise InputError(f"observable {observable!r}: qubit {qubit} is not in 0..{n_qubits - 1}")
        if qubit in found:
            raise InputError(f"observable {observable!r} names qubit {qubit} twice")
        found[qubit] = letter
    return tuple((q, found[q]) for q in sorted(found) if found[q] != "I")


def parse_all(observables: str | Iterable[str], n_qubits: int) -> tuple[PauliString, ...]:
    """Return every observable parsed; a single string counts as a list of one.

    Raises
    ------
    InputError
        Without an observable, or for one that is no Pauli string on the register.
    """
    names: Sequence[str] = [observables] if isinstance(observables, str) else list(observables)
    if not names:
        raise InputError("no observables: name at least one, such as ['Z0']")
    return tuple(parse(name, n_qubits) for name in names)
