"""Pauli strings as bit masks, and how Clifford gates conjugate them.

A string is i**phase X**x Z**z, with `x` and `z` bit masks over the register (qubit 0 is the most significant bit, as in
basis-state indices) and `phase` an exponent modulo 4; it is Hermitian where phase = |x & z| modulo 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from qbmvae.circuits.gates import Clifford


class Pauli(NamedTuple):
    """i**phase X**x Z**z."""

    x: int
    z: int
    phase: int

    def __mul__(self, other: Pauli) -> Pauli:  # type: ignore[override]
        crossings = (self.z & other.x).bit_count()  # Z to the left of X: each pair gives -1
        return Pauli(self.x ^ other.x, self.z ^ other.z, (self.phase + other.phase + 2 * crossings) % 4)

    @property
    def sign(self) -> int:
        """+1 or -1: the sign before the tensor product of letters (Y = i X Z).

        Raises
        ------
        ArithmeticError
            For a string that is not Hermitian.
        """
        turns = (self.phase - (self.x & self.z).bit_count()) % 4
        if turns % 2:
            raise ArithmeticError(f"{self} is not Hermitian")
        return 1 - turns

    def commutes(self, other: Pauli) -> bool:
        """Whether two strings commute."""
        return ((self.x & other.z).bit_count() + (self.z & other.x).bit_count()) % 2 == 0


def from_letters(letters: tuple[tuple[int, str], ...], n: int) -> Pauli:
    """Return the string of ((qubit, letter), ...) on `n` qubits."""
    x = z = 0
    for qubit, letter in letters:
        bit = 1 << (n - 1 - qubit)
        x |= bit if letter in "XY" else 0
        z |= bit if letter in "YZ" else 0
    return Pauli(x, z, (x & z).bit_count() % 4)


@dataclass
class Tableau:
    """The map P -> C' P C for the Clifford circuit C so far: the images of every X and Z."""

    xs: list[Pauli]
    zs: list[Pauli]

    @classmethod
    def identity(cls, n: int) -> Tableau:
        """Return the map of the empty circuit."""
        bits = [1 << (n - 1 - q) for q in range(n)]
        return cls([Pauli(b, 0, 0) for b in bits], [Pauli(0, b, 0) for b in bits])

    def append(self, gate: Clifford, qubits: tuple[int, ...]) -> None:
        """Add a later gate g: the image of P becomes that of g' P g."""
        q, xs, zs = qubits[0], self.xs, self.zs
        if gate.name == "h":
            xs[q], zs[q] = zs[q], xs[q]
        elif gate.name == "s":  # S' X S = -Y
            xs[q] = _turn(xs[q] * zs[q], 3)
        elif gate.name == "cx":
            target = qubits[1]
            xs[q], zs[target] = xs[q] * xs[target], zs[q] * zs[target]
        else:  # x, y, z
            if gate.name in "yz":
                xs[q] = _turn(xs[q], 2)
            if gate.name in "xy":
                zs[q] = _turn(zs[q], 2)

    def image(self, pauli: Pauli) -> Pauli:
        """Return C' P C."""
        n = len(self.xs)
        out = Pauli(0, 0, pauli.phase)
        for mask, images in ((pauli.x, self.xs), (pauli.z, self.zs)):
            while mask:
                low = mask & -mask
                out = out * images[n - low.bit_length()]
                mask ^= low
        return out


def _turn(pauli: Pauli, phase: int) -> Pauli:
    return Pauli(pauli.x, pauli.z, (pauli.phase + phase) % 4)


def after_cnot(p: Pauli, control: int, target: int) -> Pauli:
    """Return CNOT P CNOT for single-bit masks `control` and `target`.

    Parameters
    ----------
    p
        The string.
    control, target
        Bit masks of one bit each.
    """
    return Pauli(p.x ^ (target if p.x & control else 0), p.z ^ (control if p.z & target else 0), p.phase)


def after_sdg(p: Pauli, bit: int) -> Pauli:
    """Return S' P S for a single-bit mask."""
    return Pauli(p.x, p.z ^ bit, (p.phase + 3) % 4) if p.x & bit else p


def after_cz(p: Pauli, a: int, b: int) -> Pauli:
    """Return CZ P CZ for single-bit masks.

    Parameters
    ----------
    p
        The string.
    a, b
        Bit masks of one bit each.
    """
    both = bool(p.x & a) and bool(p.x & b)
    return Pauli(p.x, p.z ^ (b if p.x & a else 0) ^ (a if p.x & b else 0), (p.phase + 2 * both) % 4)


def after_h(p: Pauli, mask: int) -> Pauli:
    """Return H P H with a Hadamard on every qubit of the mask."""
    x = (p.x & ~mask) | (p.z & mask)
    z = (p.z & ~mask) | (p.x & mask)
    return Pauli(x, z, (p.phase + 2 * (p.x & p.z & mask).bit_count()) % 4)
