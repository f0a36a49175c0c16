"""The gates of the intermediate representation: how many qubits and angles each takes, its matrix, and its lowering.

A gate is *lowered* to Clifford primitives (h, s, x, y, z, cx) and Pauli rotations exp(-i angle/2 P), up to a global phase.
The matrices are written independently of the lowering: the reference engine uses them, the fast engines the lowering.
Angle conventions are PennyLane's and Qiskit's: RX(t) = exp(-i t X / 2); a controlled gate names its control first.
"""

from __future__ import annotations

import cmath
import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Rotation:
    """One Pauli rotation of a lowering: exp(-i/2 (scale * angle + offset) P) with P = `pauli` on local `qubits`."""

    pauli: str
    qubits: tuple[int, ...]
    angle: int = 0
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Clifford:
    """One Clifford primitive of a lowering, on local qubits."""

    name: str
    qubits: tuple[int, ...]


@dataclass(frozen=True)
class GateSpec:
    """What a gate takes and what it is made of."""

    n_qubits: int
    n_angles: int
    lowering: tuple[Rotation | Clifford, ...]


def _c(name: str, *qubits: int) -> Clifford:
    return Clifford(name, qubits)


def _constant(pauli: str, qubits: tuple[int, ...], offset: float) -> Rotation:
    return Rotation(pauli, qubits, scale=0.0, offset=offset)


def _controlled_rotation(axis: str) -> tuple[Rotation, ...]:
    # |1><1| = (1 - Z) / 2
    return (Rotation(axis, (1,), scale=0.5), Rotation("Z" + axis, (0, 1), scale=-0.5))


def _toffoli() -> tuple[Rotation, ...]:
    # exp(i pi (1-Z)(1-Z)(1-X) / 8), one rotation a non-empty subset of the factors
    out = []
    for subset in itertools.product((0, 1), repeat=3):
        if any(subset):
            qubits = tuple(q for q in range(3) if subset[q])
            out.append(_constant("".join("ZZX"[q] for q in qubits), qubits, -math.pi / 4 * (-1) ** sum(subset)))
    return tuple(out)


GATES: dict[str, GateSpec] = {
    "h": GateSpec(1, 0, (_c("h", 0),)),
    "x": GateSpec(1, 0, (_c("x", 0),)),
    "y": GateSpec(1, 0, (_c("y", 0),)),
    "z": GateSpec(1, 0, (_c("z", 0),)),
    "s": GateSpec(1, 0, (_c("s", 0),)),
    "sdg": GateSpec(1, 0, (_c("s", 0), _c("z", 0))),
    "sx": GateSpec(1, 0, (_c("h", 0), _c("s", 0), _c("h", 0))),
    "sxdg": GateSpec(1, 0, (_c("h", 0), _c("s", 0), _c("z", 0), _c("h", 0))),
    "t": GateSpec(1, 0, (_constant("Z", (0,), math.pi / 4),)),
    "tdg": GateSpec(1, 0, (_constant("Z", (0,), -math.pi / 4),)),
    "rx": GateSpec(1, 1, (Rotation("X", (0,)),)),
    "ry": GateSpec(1, 1, (Rotation("Y", (0,)),)),
    "rz": GateSpec(1, 1, (Rotation("Z", (0,)),)),
    "p": GateSpec(1, 1, (Rotation("Z", (0,)),)),
    "u3": GateSpec(1, 3, (Rotation("Z", (0,), 2), Rotation("Y", (0,), 0), Rotation("Z", (0,), 1))),
    "cnot": GateSpec(2, 0, (_c("cx", 0, 1),)),
    "cz": GateSpec(2, 0, (_c("h", 1), _c("cx", 0, 1), _c("h", 1))),
    "cy": GateSpec(2, 0, (_c("s", 1), _c("z", 1), _c("cx", 0, 1), _c("s", 1))),
    "ch": GateSpec(
        2,
        0,
        (_constant("Y", (1,), -math.pi / 4), _c("h", 1), _c("cx", 0, 1), _c("h", 1), _constant("Y", (1,), math.pi / 4)),
    ),
    "swap": GateSpec(2, 0, (_c("cx", 0, 1), _c("cx", 1, 0), _c("cx", 0, 1))),
    "iswap": GateSpec(2, 0, (_c("s", 0), _c("s", 1), _c("h", 0), _c("cx", 0, 1), _c("cx", 1, 0), _c("h", 1))),
    "crx": GateSpec(2, 1, _controlled_rotation("X")),
    "cry": GateSpec(2, 1, _controlled_rotation("Y")),
    "crz": GateSpec(2, 1, _controlled_rotation("Z")),
    "cp": GateSpec(
        2, 1, (Rotation("Z", (0,), scale=0.5), Rotation("Z", (1,), scale=0.5), Rotation("ZZ", (0, 1), scale=-0.5))
    ),
    "rxx": GateSpec(2, 1, (Rotation("XX", (0, 1)),)),
    "ryy": GateSpec(2, 1, (Rotation("YY", (0, 1)),)),
    "rzz": GateSpec(2, 1, (Rotation("ZZ", (0, 1)),)),
    "ccx": GateSpec(3, 0, _toffoli()),
    "cswap": GateSpec(3, 0, (_c("cx", 2, 1), *_toffoli(), _c("cx", 2, 1))),
}

PAULI = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=complex),
    "Z": np.array([[1, 0], [0, -1]], dtype=complex),
}
_H = np.array([[1, 1], [1, -1]], dtype=complex) / math.sqrt(2)
_SX = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2


def controlled(u: np.ndarray) -> np.ndarray:
    """Return the matrix of a gate with one more qubit, its control, in front."""
    out = np.eye(2 * len(u), dtype=complex)
    out[len(u) :, len(u) :] = u
    return out


_SWAP = np.eye(4, dtype=complex)[[0, 2, 1, 3]]
#: Matrices of the gates without angles.
FIXED: dict[str, np.ndarray] = {
    "h": _H,
    "x": PAULI["X"],
    "y": PAULI["Y"],
    "z": PAULI["Z"],
    "s": np.diag([1, 1j]),
    "sdg": np.diag([1, -1j]),
    "sx": _SX,
    "sxdg": _SX.conj().T,
    "t": np.diag([1, cmath.exp(1j * math.pi / 4)]),
    "tdg": np.diag([1, cmath.exp(-1j * math.pi / 4)]),
    "cnot": controlled(PAULI["X"]),
    "cz": controlled(PAULI["Z"]),
    "cy": controlled(PAULI["Y"]),
    "ch": controlled(_H),
    "swap": _SWAP,
    "iswap": _SWAP * np.array([1, 1j, 1j, 1]),
    "ccx": controlled(controlled(PAULI["X"])),
    "cswap": controlled(_SWAP),
}
#: Pauli letters of the rotations exp(-i angle P / 2), and of those that a control switches on (their names begin with c).
AXES = {"rx": "X", "ry": "Y", "rz": "Z", "rxx": "XX", "ryy": "YY", "rzz": "ZZ", "crx": "X", "cry": "Y", "crz": "Z"}


def _kron(label: str) -> np.ndarray:
    out = np.eye(1)
    for letter in label:
        out = np.kron(out, PAULI[letter])
    return out


def _rotation_matrix(label: str, theta: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    pauli = torch.as_tensor(_kron(label), dtype=dtype, device=theta.device)
    half = theta[..., None, None] / 2
    return torch.cos(half) * torch.eye(len(pauli), dtype=dtype, device=theta.device) - 1j * torch.sin(half) * pauli


def gate_matrix(name: str, angles: list[torch.Tensor], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return the unitary of a gate.

    Parameters
    ----------
    name
        A key of `GATES`.
    angles
        One tensor an angle, each () or (batch,), in radians.
    dtype, device
        Of the result (complex).

    Returns
    -------
    (2**k, 2**k), or (batch, 2**k, 2**k) where an angle is per sample; the first qubit is the most significant.
    """
    if name in FIXED:
        return torch.as_tensor(FIXED[name], dtype=dtype, device=device)
    if name == "u3":
        theta, phi, lam = torch.broadcast_tensors(*angles)
        cos, sin = torch.cos(theta / 2).to(dtype), torch.sin(theta / 2).to(dtype)
        rows = [cos, -torch.exp(1j * lam) * sin, torch.exp(1j * phi) * sin, torch.exp(1j * (phi + lam)) * cos]
        return torch.stack(rows, -1).reshape(*theta.shape, 2, 2)
    (theta,) = angles
    if name in ("p", "cp"):
        one = torch.ones_like(theta).to(dtype)
        return torch.diag_embed(torch.stack([one] * (2 * GATES[name].n_qubits - 1) + [torch.exp(1j * theta)], -1))
    block = _rotation_matrix(AXES[name], theta, dtype)
    if not name.startswith("c"):
        return block
    top = torch.eye(2, dtype=dtype, device=device).expand(block.shape)
    zero = torch.zeros_like(block)
    return torch.cat([torch.cat([top, zero], -1), torch.cat([zero, block], -1)], -2)
