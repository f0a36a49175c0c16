"""Push every Clifford gate of a circuit to its end: what is left is a list of Pauli rotations.

A rotation about P after the Clifford circuit C is the rotation about C' P C before it, and measuring O after C is
measuring C' O C before it. Rotations that cannot change any observable, or that act on |0...0> by a global phase alone,
are then left out (their gradients are exactly zero).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qbmvae.circuits.gates import GATES, Rotation
from qbmvae.circuits.operations import Angle
from qbmvae.circuits.pauli import Pauli, Tableau, from_letters

if TYPE_CHECKING:
    from qbmvae.circuits.gate_list import GateList


@dataclass(frozen=True, slots=True)
class FrameRotation:
    """exp(-i/2 angle P) with P the product of letters of `string`, its sign moved into the angle."""

    string: tuple[int, int]
    angle: Angle

    def commutes(self, other: tuple[int, int]) -> bool:
        """Whether it commutes with a string (x mask, z mask)."""
        (x, z), (u, v) = self.string, other
        return ((x & v).bit_count() + (z & u).bit_count()) % 2 == 0


def lower(circuit: GateList) -> tuple[list[FrameRotation], Tableau]:
    """Return the rotations before all Cliffords, in time order, and the map of observables P -> C' P C."""
    n = circuit.n_qubits
    tableau, rotations = Tableau.identity(n), []
    for op in circuit.operations:
        for part in GATES[op.name].lowering:
            qubits = tuple(op.qubits[q] for q in part.qubits)
            if not isinstance(part, Rotation):
                tableau.append(part, qubits)
                continue
            image = tableau.image(from_letters(tuple(zip(qubits, part.pauli, strict=True)), n))
            angle = _angle(op.angles[part.angle] if op.angles else None, part, image.sign)
            rotations.append(FrameRotation((image.x, image.z), angle))
    return rotations, tableau


def _angle(angle: Angle | None, part: Rotation, sign: int) -> Angle:
    if angle is None or angle.source == "constant":
        value = 0.0 if angle is None else angle.offset
        return Angle("constant", offset=sign * (part.scale * value + part.offset))
    return Angle(
        angle.source, angle.index, sign * part.scale * angle.scale, sign * (part.scale * angle.offset + part.offset)
    )


def alive(rotations: list[FrameRotation], observables: list[Pauli]) -> list[bool]:
    """Return which rotations can change the observables of a circuit that starts in |0...0>.

    A rotation is dead if it commutes with every observable and with every live rotation after it, or if it is a product
    of Z and commutes with every live rotation before it.
    """
    live = [False] * len(rotations)
    later = {(o.x, o.z) for o in observables}
    for k in range(len(rotations) - 1, -1, -1):
        if not all(rotations[k].commutes(string) for string in later):
            live[k] = True
            later.add(rotations[k].string)
    earlier: set[tuple[int, int]] = set()
    for k, rotation in enumerate(rotations):
        if live[k]:
            if rotation.string[0] == 0 and all(rotation.commutes(string) for string in earlier):
                live[k] = False
            else:
                earlier.add(rotation.string)
    return live
