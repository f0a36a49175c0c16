"""Single-cell data from quantum circuits: genes as qubits, gene regulation and cell-cell signals of known truth."""

from __future__ import annotations

from qbmvae.cellsim.cellchatdb import cellchatdb_pairs
from qbmvae.cellsim.circuit import GeneCircuit
from qbmvae.cellsim.communication import communication, compare_conditions
from qbmvae.cellsim.gates import Edge
from qbmvae.cellsim.presets import PRESETS, paper_pairs, preset
from qbmvae.cellsim.reference import Reference, fit_reference
from qbmvae.cellsim.simulate import simulate, simulate_to_file
from qbmvae.cellsim.transition import Transition, correlation_differences, learn_transition

__all__ = [
    "PRESETS",
    "Edge",
    "GeneCircuit",
    "Reference",
    "Transition",
    "cellchatdb_pairs",
    "communication",
    "compare_conditions",
    "correlation_differences",
    "fit_reference",
    "learn_transition",
    "paper_pairs",
    "preset",
    "simulate",
    "simulate_to_file",
]
