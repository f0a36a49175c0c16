"""Compile a circuit to its Clifford frame: diagonals, Walsh-Hadamard transforms and monomial maps between them.

The program of a circuit is: start in a fixed state, then for each commuting group of rotations go to the basis in which
the group is diagonal and multiply by exp(-i/2 sum_k angle_k chi_k(x)), chi_k(x) = (-1)**popcount(mask_k & x); last,
go to the basis of each commuting group of observables. A step between bases is Hadamards, a monomial map, Hadamards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from qbmvae.circuits import groups
from qbmvae.circuits.groups import Diagonaliser
from qbmvae.circuits.lowering import FrameRotation, alive, lower
from qbmvae.circuits.observables import PauliString
from qbmvae.circuits.pauli import Pauli, from_letters

if TYPE_CHECKING:
    from qbmvae.circuits.gate_list import GateList

START = Diagonaliser(0)


@dataclass
class Terms:
    """Angles as sums: angle[string[t]] += coefficient[t] * source[index[t]]."""

    string: list[int] = field(default_factory=list)
    index: list[int] = field(default_factory=list)
    coefficient: list[float] = field(default_factory=list)


@dataclass
class Group:
    """Commuting rotations in the basis of `basis`: the Z masks of shared and of per-sample angles, by their position.

    `shared` and `sample` are slices of the program's shared and per-sample angles; `masks` of both are in that order.
    """

    basis: Diagonaliser
    shared: slice
    sample: slice


@dataclass
class Readout:
    """Commuting observables in the basis of `basis`: (mask, sign) of each and its position in the caller's list."""

    basis: Diagonaliser
    masks: np.ndarray
    signs: np.ndarray
    positions: list[int]


@dataclass
class Program:
    """A compiled circuit; masks are int64 over basis-state indices."""

    n_qubits: int
    groups: list[Group]
    readouts: list[Readout]
    shared_masks: np.ndarray
    shared_terms: Terms
    shared_offset: np.ndarray
    sample_masks: np.ndarray
    sample_terms: Terms


@dataclass(frozen=True)
class Step:
    """From one basis to the next: Hadamards on a mask, then the monomial map of `second` after `first`', Hadamards."""

    before: int
    monomial: tuple[Diagonaliser, Diagonaliser] | None
    after: int


def step(first: Diagonaliser, second: Diagonaliser) -> Step:
    """Return the map V2 V1'."""
    if (first.cnots, first.sdgs, first.czs) == (second.cnots, second.sdgs, second.czs):
        return Step(first.hadamards ^ second.hadamards, None, 0)
    return Step(first.hadamards, (first, second), second.hadamards)


def compile_circuit(circuit: GateList, observables: Sequence[PauliString] | None) -> Program:
    """Compile for Pauli observables, or for the probabilities of all basis states where `observables` is None."""
    n = circuit.n_qubits
    rotations, tableau = lower(circuit)
    if observables is None:
        observables = [((q, "Z"),) for q in range(n)]
    images = [tableau.image(from_letters(o, n)) for o in observables]
    live = alive(rotations, images)
    return _program(n, [r for r, keep in zip(rotations, live, strict=True) if keep], images)


def _program(n: int, rotations: list[FrameRotation], images: list[Pauli]) -> Program:
    shared, sample, compiled = _Angles(), _Angles(), []
    offset: list[float] = []
    for members in groups.group_rotations(rotations):
        basis = groups.diagonaliser(r.string for r in members)
        starts = len(shared.masks), len(sample.masks)
        for rotation in members:
            mask, sign = basis.apply(groups.hermitian(rotation.string))
            angle = rotation.angle
            if angle.source == "feature":
                sample.add(mask, starts[1], angle.index, sign * angle.scale)
            elif angle.source == "param":
                shared.add(mask, starts[0], angle.index, sign * angle.scale)
            if angle.source == "constant" or angle.offset:
                position = shared.position(mask, starts[0])
                offset.extend([0.0] * (position + 1 - len(offset)))
                offset[position] += sign * angle.offset
        compiled.append(Group(basis, slice(starts[0], len(shared.masks)), slice(starts[1], len(sample.masks))))
    readouts = []
    for positions in groups.group_observables(images):
        basis = groups.diagonaliser((images[p].x, images[p].z) for p in positions)
        pairs = [basis.apply(images[p]) for p in positions]
        masks, signs = np.array([m for m, _ in pairs], dtype=np.int64), np.array([s for _, s in pairs])
        readouts.append(Readout(basis, masks, signs, list(positions)))
    offset.extend([0.0] * (len(shared.masks) - len(offset)))
    return Program(
        n,
        compiled,
        readouts,
        np.array(shared.masks, dtype=np.int64),
        shared.terms,
        np.array(offset),
        np.array(sample.masks, dtype=np.int64),
        sample.terms,
    )


class _Angles:
    """Collects strings of groups and the sources of their angles, one entry a string."""

    def __init__(self) -> None:
        self.masks: list[int] = []
        self.terms = Terms()

    def position(self, mask: int, start: int) -> int:
        """Return where the string stands in the group that begins at `start`, adding it where it is new."""
        for k in range(start, len(self.masks)):
            if self.masks[k] == mask:
                return k
        self.masks.append(mask)
        return len(self.masks) - 1

    def add(self, mask: int, start: int, index: int, coefficient: float) -> None:
        """Add coefficient * source[index] to the angle of a string."""
        self.terms.string.append(self.position(mask, start))
        self.terms.index.append(index)
        self.terms.coefficient.append(coefficient)


def parity_sign(masks: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return (-1)**popcount(mask & index) as (n_masks, n_index) int8."""
    return (1 - 2 * (np.bitwise_count(masks[:, None] & index[None, :]) & 1)).astype(np.int8)


def monomial_arrays(n: int, first: Diagonaliser, second: Diagonaliser) -> tuple[np.ndarray | None, np.ndarray]:
    """Return (source, turns) with out[y] = i**turns[y] * state[source[y]] for the map Q2 L2 L1^-1 Q1'.

    `source` is None where the index does not change.

    Parameters
    ----------
    n
        Qubits.
    first, second
        Cliffords that make one group and the next diagonal.
    """
    index = np.arange(2**n, dtype=np.int32)
    turns = _turns(second, index)
    if first.cnots == second.cnots:
        return None, (turns - _turns(first, index)) % 4
    source = index.copy()
    for control, target in (*reversed(second.cnots), *first.cnots):  # L^-1 = L1 L2^-1, later gates of L2 undone first
        source ^= np.where(source & control, np.int32(target), np.int32(0))
    return source, (turns - _turns(first, source)) % 4


def _turns(basis: Diagonaliser, index: np.ndarray) -> np.ndarray:
    """Return the exponent of i of the diagonal Q at each basis state."""
    out = np.zeros(len(index), dtype=np.int8)
    for bit in basis.sdgs:
        out -= ((index & bit) != 0).astype(np.int8)
    for a, b in basis.czs:
        out += 2 * (((index & a) != 0) & ((index & b) != 0)).astype(np.int8)
    return out % 4


def outcomes(readout: Readout, n: int) -> np.ndarray:
    """Return the measured basis state, int64 (2**n,), of every index in the basis of a readout of all Z strings."""
    index = np.arange(2**n, dtype=np.int64)
    bits = np.zeros(2**n, dtype=np.int64)
    for qubit, (mask, sign) in enumerate(zip(readout.masks, readout.signs, strict=True)):
        ones = (np.bitwise_count(index & mask) & 1) ^ (sign < 0)
        bits |= ones.astype(np.int64) << (n - 1 - qubit)
    return bits
