"""Drug response from molecules and cell lines: the hybrid network with a quantum head, and its classical controls."""

from __future__ import annotations

from qbmvae.drug_response.data import DrugData
from qbmvae.drug_response.featurise import Molecule, fingerprints, molecule
from qbmvae.drug_response.heads import HEADS, make_head
from qbmvae.drug_response.model import DrugResponse, NetworkOptions
from qbmvae.drug_response.network import HybridNetwork
from qbmvae.drug_response.response import denormalise, normalise
from qbmvae.drug_response.splits import SPLITS, Split, sized_split, split
from qbmvae.drug_response.tables import assemble, read_table
from qbmvae.drug_response.training import TrainingOptions

__all__ = [
    "HEADS",
    "SPLITS",
    "DrugData",
    "DrugResponse",
    "HybridNetwork",
    "Molecule",
    "NetworkOptions",
    "Split",
    "TrainingOptions",
    "assemble",
    "denormalise",
    "fingerprints",
    "make_head",
    "molecule",
    "normalise",
    "read_table",
    "sized_split",
    "split",
]
