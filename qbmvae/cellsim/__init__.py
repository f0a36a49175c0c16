"""Single-cell data from quantum circuits: genes as qubits, gene regulation and cell-cell signals of known truth."""

from __future__ import annotations

from qbmvae.cellsim.circuit import GeneCircuit
from qbmvae.cellsim.gates import Edge

__all__ = ["Edge", "GeneCircuit"]
