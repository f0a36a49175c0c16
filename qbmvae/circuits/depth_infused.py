"""The circuit layer of Sagingalieva et al., Cancers 15:2705 (2023): features enter between blocks of a deep circuit."""

from __future__ import annotations

import math
from typing import Literal

import torch

from qbmvae.circuits.circuit import Circuit
from samplers.errors import InputError


def depth_infused_circuit(
    n_features: int, n_qubits: int, n_first: int, n_between: int, axis: str, *, entangle: bool = True
) -> Circuit:
    """Build the circuit: a first block of layers, then for every `n_qubits` features their RZ and a further block.

    A layer is one rotation a qubit and a ring of CNOTs (PennyLane's `BasicEntanglerLayers`); CNOTs onto the first qubit
    end the circuit, so that Z on it reads the parity of all qubits.

    Parameters
    ----------
    n_features, n_qubits, n_first, n_between, axis, entangle
        As in `DepthInfusedLayer`.
    """
    circuit, position = Circuit(n_qubits), 0

    def block(layers: int, position: int) -> int:
        for _ in range(layers):
            for qubit in range(n_qubits):
                circuit._rotate(f"r{axis}", (qubit,), {"param": position})
                position += 1
            if entangle and n_qubits > 1:
                for qubit in range(n_qubits if n_qubits > 2 else 1):
                    circuit.cnot(qubit, (qubit + 1) % n_qubits)
        return position

    position = block(n_first, position)
    for start in range(0, n_features, n_qubits):
        for qubit in range(n_qubits):
            circuit.rz(qubit, feature=start + qubit)
        position = block(n_between, position)
    for qubit in range(1, n_qubits):
        circuit.cnot(qubit, 0)
    return circuit


class DepthInfusedLayer(torch.nn.Module):
    """The depth-infused quantum layer: `scale * <Z> + shift` of a circuit that takes many features on few qubits.

    With the defaults: 363 circuit layers (165 variational layers of rotations and CNOTs, 32 encodings, one readout),
    1,320 angles, and one multiplicative and one additive output parameter (1,322 trainable).

    Parameters
    ----------
    n_features
        Inputs, a multiple of `n_qubits`; each is one RZ angle in radians.
    n_qubits
        Size of the register.
    n_first, n_between
        Variational layers before the first encoding and after each.
    axis
        Of the variational rotations, "x" or "y" (the paper does not state it; RZ would leave ``|0>`` unchanged).
    entangle
        False leaves the CNOT rings out (a control).
    seed
        Of the initial angles, uniform in [0, 2 pi).

    Attributes
    ----------
    angles
        (n_blocks, layers, n_qubits) where both kinds of block have as many layers, else (all layers, n_qubits).
    scale, shift
        Output parameters, (), initially 1 and 0.

    Raises
    ------
    InputError
        For an axis, sizes or numbers of layers that make no circuit.

    References
    ----------
    Sagingalieva et al., Hybrid quantum neural network for drug response prediction, Cancers 15:2705 (2023).
    """

    def __init__(
        self,
        n_features: int = 256,
        n_qubits: int = 8,
        n_first: int = 5,
        n_between: int = 5,
        axis: Literal["x", "y"] = "x",
        *,
        entangle: bool = True,
        seed: int | None = None,
    ):
        super().__init__()
        if axis not in ("x", "y"):
            raise InputError(f"axis={axis!r}: the variational rotations are about 'x' or 'y'")
        if n_qubits < 1 or n_features < 1 or n_features % n_qubits:
            raise InputError(f"n_features={n_features} is not a positive multiple of n_qubits={n_qubits}")
        if n_first < 0 or n_between < 0 or n_first + n_between == 0:
            raise InputError(f"n_first={n_first}, n_between={n_between}: give at least one variational layer")
        self.n_features, self.n_qubits = n_features, n_qubits
        self.n_first, self.n_between, self.axis = n_first, n_between, axis
        self.circuit = depth_infused_circuit(n_features, n_qubits, n_first, n_between, axis, entangle=entangle)
        blocks = n_features // n_qubits
        layers = n_first + n_between * blocks
        shape = (blocks + 1, n_first, n_qubits) if n_first == n_between else (layers, n_qubits)
        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        self.angles = torch.nn.Parameter(2 * math.pi * torch.rand(shape, generator=generator))
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.shift = torch.nn.Parameter(torch.zeros(()))

    @property
    def n_layers(self) -> int:
        """Circuit layers as the paper counts them, rotations and CNOTs apart, encodings, one readout."""
        encodings = self.n_features // self.n_qubits
        return 2 * (self.n_first + self.n_between * encodings) + encodings + 1

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, n_features) angles in radians to (batch, 1).

        Raises
        ------
        InputError
            For features of another width.
        """
        if features.ndim != 2 or features.shape[1] != self.n_features:
            raise InputError(f"features has shape {tuple(features.shape)}: the layer takes (batch, {self.n_features})")
        return self.scale * self.circuit.expval(["Z0"], self.angles.reshape(-1), features) + self.shift

    def extra_repr(self) -> str:
        """Return what `print(layer)` shows."""
        return f"n_features={self.n_features}, n_qubits={self.n_qubits}, layers={self.n_layers}, axis={self.axis!r}"
