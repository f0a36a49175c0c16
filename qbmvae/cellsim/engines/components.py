"""Any circuit: classical bits where deferred measurement allows, one joint statevector for each coherent group.

Cells that have seen the same classical history share one state ("pattern"), so that the cost grows with the number of
different histories, not with the number of cells. A measured qubit leaves its group: patterns at most double while
states halve, and memory never grows by measuring.

Parameters
----------
angles, edges, finished
    As in `network`.
names
    Of the genes, for messages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qbmvae.cellsim.engines.memory import check_size
from qbmvae.cellsim.gates import Edge, gate_matrix


class _Group:
    """Qubits in a joint pure state: `states[pattern[i]]`, `(2,) * k`, is the state of cell i."""

    def __init__(self, qubits: list[int], states: np.ndarray, pattern: np.ndarray):
        self.qubits, self.states, self.pattern = qubits, states, pattern

    def axis(self, qubit: int) -> int:
        return self.qubits.index(qubit) + 1

    def split(self, bit: np.ndarray) -> np.ndarray:
        """Give cells that differ in `bit` different patterns; return the bit of each new pattern."""
        keys, self.pattern = np.unique(self.pattern * 2 + bit, return_inverse=True)
        self.states = self.states[keys // 2]
        return (keys % 2).astype(bool)


class _Cells:
    """The cells under simulation: measured bits, and the groups of qubits that are not measured yet."""

    def __init__(self, angles: np.ndarray, n_rows: int, names: Sequence[str], rng: np.random.Generator | None):
        self.angles, self.names, self.rng = angles, names, rng
        self.bits = np.zeros((len(angles), n_rows), dtype=np.uint8)
        self.weight = np.ones(n_rows)
        self.measured = [False] * len(angles)
        self.groups: dict[int, _Group] = {}

    def group(self, qubit: int) -> _Group:
        """Return the qubit's group, made at its first use; a bit that is acted on coherently becomes a qubit again."""
        if qubit not in self.groups:
            half = self.angles[qubit] / 2
            states = np.array([[math.cos(half), math.sin(half)]], dtype=complex)
            self.groups[qubit] = _Group([qubit], states, np.zeros(self.bits.shape[1], dtype=np.int64))
        return self.groups[qubit]

    def merged(self, a: int, b: int) -> _Group:
        """Return one group that holds both qubits."""
        left, right = self.group(a), self.group(b)
        if left is right:
            return left
        n_right = len(right.states)
        keys, pattern = np.unique(left.pattern * n_right + right.pattern, return_inverse=True)
        qubits = left.qubits + right.qubits
        check_size(len(qubits), [self.names[q] for q in qubits], len(keys))
        one = left.states[keys // n_right].reshape(len(keys), -1)
        other = right.states[keys % n_right].reshape(len(keys), -1)
        states = (one[:, :, None] * other[:, None, :]).reshape((len(keys),) + (2,) * len(qubits))
        group = _Group(qubits, states, pattern)
        for qubit in qubits:
            self.groups[qubit] = group
        return group

    def measure(self, qubit: int) -> None:
        """Turn a qubit into a bit: drawn with the generator, or followed both ways, with weights, without one."""
        if self.measured[qubit]:
            return
        group = self.group(qubit)
        axis = group.axis(qubit)
        parts = np.moveaxis(group.states, axis, 1)
        chances = (np.abs(parts) ** 2).reshape(*parts.shape[:2], -1).sum(axis=2)
        total = chances.sum(axis=1)
        # only a branch of probability zero has no state left; it stays at weight zero whichever way it goes
        on = np.clip(chances[:, 1] / np.where(total > 0, total, 1.0), 0.0, 1.0)[group.pattern]
        if self.rng is not None:
            bit = (self.rng.random(len(on)) < on).astype(np.uint8)
        else:
            n = len(on)
            self.bits, self.weight = (
                np.tile(self.bits, (1, 2)),
                np.concatenate([self.weight * (1 - on), self.weight * on]),
            )
            for other in {id(g): g for g in self.groups.values()}.values():
                other.pattern = np.tile(other.pattern, 2)
            bit = np.repeat(np.array([0, 1], dtype=np.uint8), n)
        self.bits[qubit], self.measured[qubit] = bit, True
        chosen = group.split(bit).astype(np.int64)
        parts = np.moveaxis(group.states, axis, 1)[np.arange(len(chosen)), chosen]
        norm = np.sqrt((np.abs(parts) ** 2).reshape(len(parts), -1).sum(axis=1))
        group.states = parts / np.where(norm > 0, norm, 1.0).reshape((-1,) + (1,) * (parts.ndim - 1))
        group.qubits = [q for q in group.qubits if q != qubit]
        del self.groups[qubit]

    def turn(self, qubit: int, matrix: np.ndarray, on: np.ndarray) -> None:
        """Apply a `(2, 2)` matrix to one qubit in the cells where the bit `on` is set."""
        group = self.group(qubit)
        n_histories = len(np.unique(group.pattern * 2 + on))
        check_size(len(group.qubits), [self.names[q] for q in group.qubits], n_histories)
        chosen = group.split(on)
        axis = group.axis(qubit)
        parts = np.moveaxis(group.states[chosen], axis, 1)
        group.states[chosen] = np.moveaxis(np.einsum("ab,pb...->pa...", matrix, parts), 1, axis)

    def turn_jointly(self, edge: Edge) -> None:
        """Apply a gate whose control is still a qubit."""
        group = self.merged(edge.control, edge.target)
        where: list[slice | int] = [slice(None)] * group.states.ndim
        where[group.axis(edge.control)] = 0 if edge.open else 1
        part = group.states[tuple(where)]
        axis = group.axis(edge.target) - (group.axis(edge.target) > group.axis(edge.control))
        turned = np.einsum("ab,b...->a...", gate_matrix(edge), np.moveaxis(part, axis, 0))
        group.states[tuple(where)] = np.moveaxis(turned, 0, axis)


def _follow(cells: _Cells, edges: Sequence[Edge], finished: Sequence[int]) -> None:
    for k, e in enumerate(edges):
        control_done, target_done = finished[e.control] < k, finished[e.target] < k
        if e.gate == "crz" and control_done and target_done:
            continue
        if e.gate == "crz" and target_done:
            cells.measure(e.target)
            phase, on = gate_matrix(e), cells.bits[e.target]
            cells.turn(e.control, np.diag([1.0, phase[0, 0]]), 1 - on)
            cells.turn(e.control, np.diag([1.0, phase[1, 1]]), on)
        elif control_done:
            toggle = e.gate == "cx" and target_done
            for qubit in (e.control, e.target) if toggle else (e.control,):
                cells.measure(qubit)
            on = cells.bits[e.control] ^ np.uint8(e.open)
            if toggle:
                cells.bits[e.target] ^= on
            else:
                cells.turn(e.target, gate_matrix(e), on)
        else:
            cells.turn_jointly(e)
    for qubit in range(len(cells.angles)):
        cells.measure(qubit)


def sample(
    angles: np.ndarray,
    edges: Sequence[Edge],
    finished: Sequence[int],
    n_cells: int,
    rng: np.random.Generator,
    names: Sequence[str],
) -> np.ndarray:
    """Return `(n_cells, n_genes)` uint8 outcomes; raise `InputError` where a coherent group does not fit in memory.

    Parameters
    ----------
    n_cells
        How many.
    rng
        The generator.

    Raises
    ------
    InputError
        Where a coherent group does not fit in memory.
    """
    cells = _Cells(angles, n_cells, names, rng)
    _follow(cells, edges, finished)
    return np.ascontiguousarray(cells.bits.T)


def probabilities(
    angles: np.ndarray, edges: Sequence[Edge], finished: Sequence[int], names: Sequence[str]
) -> np.ndarray:
    """Return the probability of each outcome, `(2**n,)`, gene 0 the most significant bit.

    Raises
    ------
    InputError
        Where a coherent group does not fit in memory.
    """
    n = len(angles)
    cells = _Cells(angles, 1, names, None)
    _follow(cells, edges, finished)
    outcome = (cells.bits.astype(np.int64) << np.arange(n - 1, -1, -1)[:, None]).sum(axis=0)
    return np.bincount(outcome, weights=cells.weight, minlength=2**n)
