"""Parameterised quantum circuits as torch modules: exact, fast on a CPU, exportable to real devices."""

from __future__ import annotations

from qbmvae.circuits.block import BlockCircuit
from qbmvae.circuits.circuit import Circuit
from qbmvae.circuits.depth_infused import DepthInfusedLayer
from qbmvae.circuits.operations import Angle, Operation
from qbmvae.circuits.reuploading import ReuploadingLayer

__all__ = ["Angle", "BlockCircuit", "Circuit", "DepthInfusedLayer", "Operation", "ReuploadingLayer"]
