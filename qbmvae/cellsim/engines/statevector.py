"""The whole circuit as one statevector of 2**n amplitudes: the reference that the other engines are tested against."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from qbmvae.cellsim.gates import Edge
from samplers.errors import InputError

#: Largest state that an engine allocates, in bytes; a gate holds about twice as much for a moment.
MAX_BYTES = 2 * 2**30


def gate_matrix(edge: Edge) -> np.ndarray:
    """Return the `(2, 2)` complex matrix that the edge's gate applies to its target when its control is on."""
    half = edge.angle / 2
    c, s = math.cos(half), math.sin(half)
    return {
        "cx": np.array([[0, 1], [1, 0]], dtype=complex),
        "crx": np.array([[c, -1j * s], [-1j * s, c]]),
        "cry": np.array([[c, -s], [s, c]], dtype=complex),
        "crz": np.array([[c - 1j * s, 0], [0, c + 1j * s]]),
    }[edge.gate]


def check_size(n_qubits: int, genes: Sequence[str], n_states: int = 1) -> None:
    """Raise `InputError` where `n_states` statevectors of `n_qubits` do not fit, naming the genes and the memory."""
    needed = 16 * n_states * 2**n_qubits
    if needed > MAX_BYTES:
        named = ", ".join(list(genes)[:8]) + (", ..." if len(genes) > 8 else "")
        raise InputError(
            f"{n_qubits} genes that feed back on one another ({named}) need a joint statevector of "
            f"{readable(needed)}, more than the {readable(MAX_BYTES)} held here: break the cycle, "
            "or move the gates onto a gene before the gates that it controls"
        )


def readable(n_bytes: float) -> str:
    """Return a number of bytes in binary units."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.4g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.3g} EiB"


def amplitudes(angles: np.ndarray, edges: Sequence[Edge]) -> np.ndarray:
    """Return the final state, `(2**n,)` complex, gene 0 the most significant bit.

    Parameters
    ----------
    angles
        RY angles, radians, shape `(n,)`.
    edges
        Controlled gates in time order.
    """
    n = len(angles)
    state = np.ones((), dtype=complex)
    for theta in angles:
        state = np.multiply.outer(state, np.array([math.cos(theta / 2), math.sin(theta / 2)]))
    for edge in edges:
        on: list[slice | int] = [slice(None)] * n
        on[edge.control] = 0 if edge.open else 1
        part = state[tuple(on)]
        axis = edge.target - (edge.target > edge.control)
        state[tuple(on)] = np.moveaxis(np.tensordot(gate_matrix(edge), part, axes=(1, axis)), 0, axis)
    return state.reshape(-1)


def probabilities(angles: np.ndarray, edges: Sequence[Edge]) -> np.ndarray:
    """Return the probability of each outcome, `(2**n,)` float64."""
    return np.abs(amplitudes(angles, edges)) ** 2


def sample(angles: np.ndarray, edges: Sequence[Edge], n_cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return `(n_cells, n)` uint8 outcomes drawn from the statevector."""
    cumulative = np.cumsum(probabilities(angles, edges))
    outcomes = np.searchsorted(cumulative, rng.random(n_cells) * cumulative[-1], side="right")
    outcomes = np.minimum(outcomes, len(cumulative) - 1)
    shifts = np.arange(len(angles) - 1, -1, -1)
    return ((outcomes[:, None] >> shifts) & 1).astype(np.uint8)
