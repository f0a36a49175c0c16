"""The hybrid network: a drug's branch and a cell line's branch, 128 features each, and a head on their concatenation."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from qbmvae.drug_response.cell_network import ConvCellEncoder, DenseCellEncoder
from qbmvae.drug_response.data import PairBatch
from qbmvae.drug_response.graph_network import DrugEncoder
from qbmvae.drug_response.heads import make_head
from samplers.errors import InputError, nearest

CellEncoderName = Literal["conv", "dense"]
CELL_ENCODERS: tuple[CellEncoderName, ...] = ("conv", "dense")


class HybridNetwork(nn.Module):
    """Drug branch (128), cell-line branch (128), head.

    Parameters
    ----------
    n_features
        Width of a cell line's features.
    head
        A name of `heads.HEADS`.
    cell_encoder
        "conv" for binary features, "dense" for an embedding.
    n_qubits, n_layers, axis
        Of a circuit head.
    dropout
        In the drug branch.
    seed
        Of all initial weights; equal seeds give equal branches whatever the head.

    Raises
    ------
    InputError
        For an unknown cell encoder or head.
    """

    def __init__(
        self,
        n_features: int,
        head: str = "quantum",
        *,
        cell_encoder: CellEncoderName = "conv",
        n_qubits: int = 8,
        n_layers: int = 5,
        axis: str = "x",
        dropout: float = 0.0,
        seed: int = 0,
    ):
        super().__init__()
        if cell_encoder not in CELL_ENCODERS:
            raise InputError(f"cell encoder {cell_encoder!r} is not known{nearest(cell_encoder, CELL_ENCODERS)}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.drug_encoder = DrugEncoder(dropout=dropout)
            self.cell_encoder: ConvCellEncoder | DenseCellEncoder = (
                ConvCellEncoder(n_features) if cell_encoder == "conv" else DenseCellEncoder(n_features)
            )
            self.head = make_head(head, n_qubits=n_qubits, n_layers=n_layers, axis=axis)

    def forward(self, batch: PairBatch) -> torch.Tensor:
        """Return the normalised response of each pair, `(batch,)`."""
        drugs = self.drug_encoder(batch.graphs)
        lines = self.cell_encoder(batch.features)
        return self.head(torch.cat([drugs[batch.drug], lines[batch.line]], dim=1)).squeeze(1)

    def n_trainable(self) -> dict[str, int]:
        """Trainable weights of each part."""
        return {
            name: sum(p.numel() for p in part.parameters() if p.requires_grad) for name, part in self.named_children()
        }
