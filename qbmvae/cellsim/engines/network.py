"""Feed-forward circuits: each gene is finished before it controls, so the circuit is exactly a Bayesian network.

A control that is already measured is a classical bit, and its target one qubit in a pure state: a Bloch vector, turned
by each gate whose control is on. P(on | regulators) = (1 - z) / 2 when the target is measured in its turn; from then on
it is a bit, which later CX gates toggle.

Parameters
----------
angles
    RY angle of each gene, `(n_genes,)`.
edges
    The gates in time order.
finished
    When each gene is finished, see `qbmvae.cellsim.structure.Structure`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numba
import numpy as np

from qbmvae.cellsim.gates import Edge

#: Operations of the compiled program.
DRAW, TOGGLE, TURN = 0, 1, 2
#: Planes in which a gate turns the Bloch vector: the axes (from, to) of x, y, z = 0, 1, 2.
PLANES = {"crx": (1, 2), "cry": (2, 0), "crz": (0, 1)}
#: Bytes of Bloch vectors that one pass over the cells may hold.
CHUNK_BYTES = 2**25


def _compile_program(n_genes: int, edges: Sequence[Edge], finished: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the circuit as `(n_ops, 6)` int32 operations and `(n_ops,)` float64 angles, in time order.

    Columns: operation, target, control, whether the control is open, and the two axes of a turn (or -1, -1 for X).
    """
    ops: list[tuple[int, ...]] = []
    angles: list[float] = []
    drawn = [False] * n_genes

    def emit(angle: float, *op: int) -> None:
        ops.append(op)
        angles.append(angle)

    def draw(gene: int) -> None:
        if not drawn[gene]:
            drawn[gene] = True
            emit(0.0, DRAW, gene, -1, 0, -1, -1)

    for k, e in enumerate(edges):
        control, target, angle = e.control, e.target, e.angle
        if e.gate == "crz":
            if finished[control] < k and finished[target] < k:
                continue  # a phase between two bits that are already classical changes nothing
            if finished[control] >= k:
                # a phase is symmetric: with the target classical it turns the control by -angle/2, or by +angle/2
                emit(-angle / 2, TURN, control, -1, 0, *PLANES["crz"])
                control, target = target, control
        draw(control)
        if e.gate == "cx" and finished[target] < k:
            draw(target)
            emit(0.0, TOGGLE, target, control, int(e.open), -1, -1)
        elif e.gate == "cx":
            emit(math.pi, TURN, target, control, int(e.open), -1, -1)
        else:
            emit(angle, TURN, target, control, 0, *PLANES[e.gate])
    for gene in range(n_genes):
        draw(gene)
    return np.array(ops, dtype=np.int32).reshape(-1, 6), np.array(angles, dtype=np.float64)


def sample(
    angles: np.ndarray, edges: Sequence[Edge], finished: Sequence[int], n_cells: int, rng: np.random.Generator
) -> np.ndarray:
    """Return `(n_cells, n_genes)` uint8 outcomes, drawn gene after gene given its regulators.

    Parameters
    ----------
    n_cells
        How many.
    rng
        The generator.
    """
    n = len(angles)
    ops, turns = _compile_program(n, edges, finished)
    chunk = max(64, min(n_cells, CHUNK_BYTES // (32 * n)))
    out = np.empty((n_cells, n), dtype=np.uint8)
    for start in range(0, n_cells, chunk):
        stop = min(start + chunk, n_cells)
        bits = np.empty((n, stop - start), dtype=np.uint8)
        _run(ops, turns, angles, rng.random((n, stop - start)), bits, np.empty(0))
        out[start:stop] = bits.T
    return out


def probabilities(angles: np.ndarray, edges: Sequence[Edge], finished: Sequence[int]) -> np.ndarray:
    """Return the probability of each outcome, `(2**n,)`: every combination of measured bits is followed once."""
    n = len(angles)
    ops, turns = _compile_program(n, edges, finished)
    p = np.zeros(2**n)
    shifts = np.arange(n - 1, -1, -1)[:, None]
    chunk = max(1, min(2**n, CHUNK_BYTES // (32 * n)))
    for start in range(0, 2**n, chunk):
        measured = np.arange(start, min(start + chunk, 2**n))
        bits = ((measured >> shifts) & 1).astype(np.uint8)
        weight = np.ones(len(measured))
        _run(ops, turns, angles, np.empty((0, 0)), bits, weight)
        p[(bits.astype(np.int64) << shifts).sum(axis=0)] = weight
    return p


@numba.njit(cache=True, nogil=True)
def _run(ops, turns, angles, uniform, bits, weight):
    """Follow the program for many cells; with `weight`, follow the measured bits given and multiply their chances."""
    n, m = bits.shape
    forced = len(weight) > 0
    bloch = np.empty((n, 3, m))
    for g in range(n):
        bloch[g, 0] = math.sin(angles[g])
        bloch[g, 1] = 0.0
        bloch[g, 2] = math.cos(angles[g])
    for k in range(len(ops)):
        op, target, control, inverted = ops[k, 0], ops[k, 1], ops[k, 2], ops[k, 3]
        if op == DRAW:
            for i in range(m):
                on = (1.0 - bloch[target, 2, i]) / 2.0
                if forced:
                    weight[i] *= on if bits[target, i] else 1.0 - on
                else:
                    bits[target, i] = uniform[target, i] < on
        elif op == TOGGLE:
            for i in range(m):
                bits[target, i] ^= bits[control, i] ^ inverted
        elif ops[k, 4] < 0:
            for i in range(m):
                if bits[control, i] ^ inverted:
                    bloch[target, 1, i] = -bloch[target, 1, i]
                    bloch[target, 2, i] = -bloch[target, 2, i]
        else:
            a, b = ops[k, 4], ops[k, 5]
            c, s = math.cos(turns[k]), math.sin(turns[k])
            for i in range(m):
                if control < 0 or bits[control, i]:
                    x, y = bloch[target, a, i], bloch[target, b, i]
                    bloch[target, a, i] = c * x - s * y
                    bloch[target, b, i] = s * x + c * y
