"""Is a foreign operation the product of the gates that stand for it?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from qbmvae.circuits.engines import per_gate
from qbmvae.circuits.gate_list import GateList
from qbmvae.circuits.operations import Angle

MAX_QUBITS = 6  # operations on more have matrices too large to compare in passing

Gate = tuple[str, Sequence[int], Sequence[float]]


def same_up_to_phase(matrix: np.ndarray, gates: Sequence[Gate], n_qubits: int, atol: float = 1e-7) -> bool:
    """Whether gates (name, qubits, constant angles) multiply to a unitary, up to a global phase.

    Parameters
    ----------
    matrix
        (2**n_qubits, 2**n_qubits), the first qubit most significant.
    gates
        In time order, on qubits 0 to n_qubits - 1.
    n_qubits
        Size of the register.
    atol
        Largest difference of two entries.
    """
    found = GateList(n_qubits)
    for name, qubits, angles in gates:
        found.append(name, qubits, [Angle("constant", offset=float(a)) for a in angles])
    ours = per_gate.unitary(found)
    overlap = np.vdot(ours, matrix)
    return bool(abs(overlap) > 0 and np.abs(ours * (overlap / abs(overlap)) - matrix).max() <= atol)


def random_angles(count: int, seed: int = 0) -> list[list[float]]:
    """Return three random settings of `count` angles at which to compare a gate with a definition."""
    rng = torch.Generator().manual_seed(seed)
    return (6 * torch.rand(3, count, generator=rng, dtype=torch.float64) - 3).tolist()
