"""A data re-uploading layer: the features enter again at every layer (Perez-Salinas et al., Quantum 4:226, 2020)."""

from __future__ import annotations

import math
from typing import Literal

import torch

from qbmvae.circuits.circuit import Circuit
from samplers.errors import InputError


def reuploading_circuit(n_qubits: int, n_layers: int, *, entangle: bool = True, embedding: str = "x") -> Circuit:
    """Build the circuit: in each layer one embedding rotation a qubit, trainable RX, RY, RZ, and a ring of CNOTs.

    Parameters
    ----------
    n_qubits, n_layers, entangle, embedding
        As in `ReuploadingLayer`.
    """
    circuit = Circuit(n_qubits)
    for layer in range(n_layers):
        for qubit in range(n_qubits):
            circuit._rotate(f"r{embedding}", (qubit,), {"feature": qubit})
        for turn, axis in enumerate(("rx", "ry", "rz")):
            for qubit in range(n_qubits):
                circuit._rotate(axis, (qubit,), {"param": (layer * n_qubits + qubit) * 3 + turn})
        if entangle and n_qubits > 1:
            for qubit in range(n_qubits if n_qubits > 2 else 1):
                circuit.cnot(qubit, (qubit + 1) % n_qubits)
    return circuit


def _readout_strings(n_qubits: int, readout: str) -> list[str]:
    """Return the observables of a readout: "z" or "xyz", letter by letter."""
    if readout not in ("z", "xyz"):
        raise InputError(f"readout={readout!r}: 'z' (n_qubits values) or 'xyz' (3 n_qubits values)")
    return [f"{letter}{qubit}" for letter in readout.upper() for qubit in range(n_qubits)]


class ReuploadingLayer(torch.nn.Module):
    """Angle embedding re-uploaded at every layer, RX/RY/RZ and a CNOT ring, Pauli readout.

    Parameters
    ----------
    n_qubits
        Qubits, and features.
    n_layers
        Re-uploads.
    angle_scale
        Factor on the features and on the initial angles: small angles keep the circuit away from Haar-random states,
        where outputs concentrate; 1 with features that span +-pi is the setting that collapses.
    readout
        "xyz": X of every qubit, then Y, then Z; "z": Z alone.
    entangle
        False leaves the CNOT rings out (a control).
    embedding
        Axis of the embedding rotations, "x" (PennyLane's `AngleEmbedding` default), "y" or "z".
    normalise
        True standardises every output over the batch (running statistics in evaluation), without trainable weights.
    seed
        Of the initial angles, uniform in +-pi * angle_scale.

    Attributes
    ----------
    angles
        (n_layers, n_qubits, 3), radians.

    Raises
    ------
    InputError
        For options that make no circuit.
    """

    def __init__(
        self,
        n_qubits: int = 8,
        n_layers: int = 4,
        *,
        angle_scale: float = 0.1,
        readout: Literal["xyz", "z"] = "xyz",
        entangle: bool = True,
        embedding: Literal["x", "y", "z"] = "x",
        normalise: bool = False,
        seed: int | None = None,
    ):
        super().__init__()
        if n_layers < 1:
            raise InputError(f"n_layers={n_layers}: give at least one layer")
        if not math.isfinite(angle_scale):
            raise InputError(f"angle_scale={angle_scale} is not a finite number")
        if embedding not in ("x", "y", "z"):
            raise InputError(f"embedding={embedding!r}: the features turn about 'x', 'y' or 'z'")
        self.n_qubits, self.n_layers, self.angle_scale = n_qubits, n_layers, angle_scale
        self.circuit = reuploading_circuit(n_qubits, n_layers, entangle=entangle, embedding=embedding)
        self.observables = _readout_strings(n_qubits, readout)
        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        uniform = 2 * torch.rand(n_layers, n_qubits, 3, generator=generator) - 1
        self.angles = torch.nn.Parameter(math.pi * angle_scale * uniform)
        # small angles give variances near 1e-6: the usual eps of 1e-5 would swamp them
        self.norm = torch.nn.BatchNorm1d(len(self.observables), eps=1e-9, affine=False) if normalise else None

    @property
    def n_outputs(self) -> int:
        """Width of the output."""
        return len(self.observables)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, n_qubits) to (batch, n_outputs).

        Raises
        ------
        InputError
            For features of another width.
        """
        if features.ndim != 2 or features.shape[1] != self.n_qubits:
            raise InputError(f"features has shape {tuple(features.shape)}: the layer takes (batch, {self.n_qubits})")
        out = self.circuit.expval(self.observables, self.angles.reshape(-1), self.angle_scale * features)
        return out if self.norm is None else self.norm(out)

    def extra_repr(self) -> str:
        """Return what `print(layer)` shows."""
        return f"n_qubits={self.n_qubits}, n_layers={self.n_layers}, outputs={self.n_outputs}"
