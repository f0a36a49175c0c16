"""A list of gates on a register: what every engine, importer and exporter works on; `Circuit` stands on top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch

from qbmvae.circuits.gates import GATES
from qbmvae.circuits.operations import Angle, Operation
from samplers.errors import InputError, nearest

MAX_QUBITS = 62  # Pauli strings and basis states are 64-bit integers


class GateList:
    """Gates in time order on `n_qubits` qubits that start in ``|0...0>``.

    Parameters
    ----------
    n_qubits
        Size of the register.

    Attributes
    ----------
    operations
        The gates, in time order.
    initial_params
        Parameters that an imported circuit came with, used where `params` is not given; else None.

    Raises
    ------
    InputError
        For a size that is none.
    """

    def __init__(self, n_qubits: int):
        try:
            self.n_qubits = int(n_qubits.__index__())
        except (AttributeError, TypeError):
            raise InputError(f"n_qubits={n_qubits!r} is not an integer") from None
        if not 1 <= self.n_qubits <= MAX_QUBITS:
            raise InputError(f"n_qubits={n_qubits}: a circuit has 1 to {MAX_QUBITS} qubits")
        self.operations: list[Operation] = []
        self.initial_params: torch.Tensor | None = None
        self._cache: dict[Any, Any] = {}

    def append(self, name: str, qubits: Sequence[int], angles: Sequence[Angle] = ()) -> Self:
        """Add a gate by its name in `gates.GATES`.

        Parameters
        ----------
        name
            Of the gate.
        qubits
            On which it acts, in its order.
        angles
            As many as the gate takes.

        Raises
        ------
        InputError
            If the gate is unknown, a qubit is outside the register or named twice, or the counts do not match.
        """
        spec = GATES.get(name)
        if spec is None:
            raise InputError(f"unknown gate {name!r}{nearest(name, GATES)}")
        if len(qubits) != spec.n_qubits:
            raise InputError(f"{name} acts on {spec.n_qubits} qubits: {len(qubits)} given")
        if len(angles) != spec.n_angles:
            raise InputError(f"{name} takes {spec.n_angles} angles: {len(angles)} given")
        wires = tuple(self._qubit(name, q) for q in qubits)
        if len(set(wires)) < len(wires):
            raise InputError(f"{name}: qubits {wires} are not distinct")
        self.operations.append(Operation(name, wires, tuple(angles)))
        self._cache.clear()
        return self

    def _qubit(self, gate: str, qubit: Any) -> int:
        try:
            index = int(qubit.__index__())
        except (AttributeError, TypeError):
            raise InputError(f"{gate}: qubit {qubit!r} is not an integer") from None
        if not 0 <= index < self.n_qubits:
            raise InputError(f"{gate}: qubit {qubit} is not in 0..{self.n_qubits - 1}")
        return index

    def _count(self, source: str) -> int:
        if ("count", source) not in self._cache:
            used = [a.index for op in self.operations for a in op.angles if a.source == source]
            self._cache["count", source] = max(used, default=-1) + 1
        return self._cache["count", source]

    @property
    def n_params(self) -> int:
        """One more than the highest parameter position in use."""
        return self._count("param")

    @property
    def n_features(self) -> int:
        """One more than the highest feature column in use."""
        return self._count("feature")

    def __len__(self) -> int:
        return len(self.operations)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_qubits}): {len(self)} gates, {self.n_params} parameters, {self.n_features} features"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, GateList):
            return NotImplemented
        return self.n_qubits == other.n_qubits and self.operations == other.operations

    __hash__ = None  # type: ignore[assignment]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}}
