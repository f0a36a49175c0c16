"""Single-cell data from quantum circuits: genes as qubits, gene regulation and cell-cell signals of known truth."""

from __future__ import annotations

from qbmvae.cellsim.cellchatdb import cellchatdb_pairs
from qbmvae.cellsim.circuit import GeneCircuit
from qbmvae.cellsim.communication import communication, compare_conditions
from qbmvae.cellsim.gates import Edge
from qbmvae.cellsim.presets import PRESETS, paper_pairs, preset
from qbmvae.cellsim.reference import Reference, fit_reference
from qbmvae.cellsim.simulate import simulate, simulate_to_file

__all__ = [
    "PRESETS",
    "Edge",
    "GeneCircuit",
    "Reference",
    "cellchatdb_pairs",
    "communication",
    "compare_conditions",
    "fit_reference",
    "paper_pairs",
    "preset",
    "simulate",
    "simulate_to_file",
]
