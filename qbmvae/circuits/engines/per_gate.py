"""The reference engine: one matrix a gate applied to the state vector, gradients by torch's own autograd.

Parameters
----------
circuit, observables, params, features
    As in `qbmvae.circuits.engines`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from qbmvae.circuits.gates import PAULI, gate_matrix
from qbmvae.circuits.observables import PauliString

if TYPE_CHECKING:
    from qbmvae.circuits.gate_list import GateList


def _complex(dtype: torch.dtype) -> torch.dtype:
    return torch.complex128 if dtype == torch.float64 else torch.complex64


def _apply(state: torch.Tensor, matrix: torch.Tensor, qubits: tuple[int, ...], n: int) -> torch.Tensor:
    """Apply (2**k, 2**k) or (batch, 2**k, 2**k) to the named qubits of (batch, 2**n)."""
    axes, front = [1 + q for q in qubits], list(range(1, 1 + len(qubits)))
    tensor = state.reshape(len(state), *(2,) * n).movedim(axes, front)
    shape = tensor.shape
    tensor = (matrix @ tensor.reshape(len(state), 2 ** len(qubits), -1)).reshape(shape)
    return tensor.movedim(front, axes).reshape(len(state), -1)


def state(circuit: GateList, params: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return the state vector, (batch, 2**n)."""
    dtype, device = _complex(params.dtype), params.device
    psi = torch.zeros(len(features), 2**circuit.n_qubits, dtype=dtype, device=device)
    psi[:, 0] = 1
    for op in circuit.operations:
        angles = [angle.evaluate(params, features) for angle in op.angles]
        psi = _apply(psi, gate_matrix(op.name, angles, dtype, device), op.qubits, circuit.n_qubits)
    return psi


def unitary(circuit: GateList) -> np.ndarray:
    """Return the matrix of a circuit of constant angles, (2**n, 2**n) complex; the first qubit is most significant."""
    rows = torch.eye(2**circuit.n_qubits, dtype=torch.complex128)
    none, device = torch.zeros(0, dtype=torch.float64), torch.device("cpu")
    for op in circuit.operations:
        matrix = gate_matrix(op.name, [a.evaluate(none, none[None]) for a in op.angles], rows.dtype, device)
        rows = _apply(rows, matrix, op.qubits, circuit.n_qubits)
    return rows.T.numpy()


def expval(
    circuit: GateList, observables: tuple[PauliString, ...], params: torch.Tensor, features: torch.Tensor
) -> torch.Tensor:
    """Return (batch, n_observables) expectation values."""
    psi = state(circuit, params, features)
    values = []
    for observable in observables:
        phi = psi
        for qubit, letter in observable:
            pauli = torch.as_tensor(PAULI[letter], dtype=psi.dtype, device=psi.device)
            phi = _apply(phi, pauli, (qubit,), circuit.n_qubits)
        values.append((psi.conj() * phi).sum(1).real)
    return torch.stack(values, 1)


def probabilities(circuit: GateList, params: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return (batch, 2**n) probabilities."""
    return state(circuit, params, features).abs().square()
