"""Gather Pauli rotations into commuting groups, and find the Clifford that makes a group diagonal.

Commuting strings become products of Z under V = H(mask) Q L: L a linear map of the basis-state index (CNOTs), Q a
diagonal of powers of i (S and CZ), H Hadamards on the qubits of a mask (Aaronson and Gottesman, Phys. Rev. A 70:052328).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qbmvae.circuits import pauli
from qbmvae.circuits.lowering import FrameRotation
from qbmvae.circuits.pauli import Pauli


@dataclass(frozen=True)
class Diagonaliser:
    """V = H(hadamards) Q L, with L |y> = |y'> by CNOTs in order and Q = product of S' and CZ; all bits are masks."""

    hadamards: int
    cnots: tuple[tuple[int, int], ...] = ()
    sdgs: tuple[int, ...] = ()
    czs: tuple[tuple[int, int], ...] = ()

    def apply(self, string: Pauli) -> tuple[int, int]:
        """Return V P V' as (z mask, sign).

        Raises
        ------
        ArithmeticError
            For a string that does not commute with the group.
        """
        for control, target in self.cnots:
            string = pauli.after_cnot(string, control, target)
        for bit in self.sdgs:
            string = pauli.after_sdg(string, bit)
        for a, b in self.czs:
            string = pauli.after_cz(string, a, b)
        string = pauli.after_h(string, self.hadamards)
        if string.x:
            raise ArithmeticError("the strings of a group do not commute")
        return string.z, string.sign


def hermitian(string: tuple[int, int]) -> Pauli:
    """Return the product of letters with these masks."""
    x, z = string
    return Pauli(x, z, (x & z).bit_count() % 4)


def group_rotations(rotations: Iterable[FrameRotation]) -> list[list[FrameRotation]]:
    """Put each rotation into the earliest group that it can move to past rotations that it commutes with."""
    groups: list[list[FrameRotation]] = []
    strings: list[set[tuple[int, int]]] = []
    for rotation in rotations:
        place = len(groups)
        while place and all(rotation.commutes(s) for s in strings[place - 1]):
            place -= 1
        # stopped by groups[place - 1]; the first group after it takes the rotation
        if place == len(groups):
            groups.append([])
            strings.append(set())
        groups[place].append(rotation)
        strings[place].add(rotation.string)
    return groups


def group_observables(observables: list[Pauli]) -> list[list[int]]:
    """Return indices of observables in groups that commute, first fit."""
    groups: list[list[int]] = []
    for k, observable in enumerate(observables):
        for members in groups:
            if all(observable.commutes(observables[m]) for m in members):
                members.append(k)
                break
        else:
            groups.append([k])
    return groups


def diagonaliser(strings: Iterable[tuple[int, int]]) -> Diagonaliser:
    """Return V that makes commuting strings (x mask, z mask) products of Z."""
    rows = list(dict.fromkeys(strings))
    support = 0
    for x, _ in rows:
        support |= x
    if all(z == 0 for _, z in rows):  # products of X: Hadamards alone
        return Diagonaliser(support)
    pivots = _row_reduce([[x, z] for x, z in rows if x])
    mask = sum(pivot for pivot, _, _ in pivots)
    cnots = [(pivot, bit) for pivot, x, _ in pivots for bit in _bits(x & ~mask)]
    reduced = []
    for pivot, x, z in pivots:
        string = Pauli(x, z, 0)
        for control, target in cnots:
            string = pauli.after_cnot(string, control, target)
        reduced.append((pivot, string.z))
    sdgs = [pivot for pivot, z in reduced if z & pivot]
    czs = [(pivot, bit) for pivot, z in reduced for bit in _bits(z & ~pivot) if not bit & mask or bit < pivot]
    return Diagonaliser(mask, tuple(cnots), tuple(sdgs), tuple(czs))


def _bits(mask: int) -> list[int]:
    return [1 << k for k in range(mask.bit_length()) if mask >> k & 1]


def _row_reduce(rows: list[list[int]]) -> list[tuple[int, int, int]]:
    """Gauss-Jordan on the x parts, carrying the z parts: (pivot bit, x, z), each pivot in its own row alone."""
    done: list[list[int]] = []
    for x, z in rows:
        for pivot, u, v in done:
            if x & pivot:
                x, z = x ^ u, z ^ v
        if not x:
            continue
        pivot = x & -x
        for row in done:
            if row[1] & pivot:
                row[1], row[2] = row[1] ^ x, row[2] ^ z
        done.append([pivot, x, z])
    return [(pivot, x, z) for pivot, x, z in done]
