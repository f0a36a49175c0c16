"""Several independent registers side by side: 24 qubits as three of eight."""

from __future__ import annotations

from typing import Any

import torch

from qbmvae.circuits.reuploading import ReuploadingLayer
from samplers.errors import InputError


class BlockCircuit(torch.nn.Module):
    """A re-uploading layer of `n_blocks * n_qubits` qubits as independent blocks, so that its cost is linear in blocks.

    It is a stated substitute for one register: no entanglement crosses blocks.

    Parameters
    ----------
    n_blocks
        Registers.
    n_qubits
        Qubits of each.
    n_layers
        Re-uploads.
    seed
        Of the initial angles.
    **options
        Passed to `ReuploadingLayer` (angle_scale, readout, entangle, embedding, normalise).

    Raises
    ------
    InputError
        Without a block, or for options that `ReuploadingLayer` refuses.
    """

    def __init__(
        self, n_blocks: int = 3, n_qubits: int = 8, n_layers: int = 4, *, seed: int | None = None, **options: Any
    ):
        super().__init__()
        if n_blocks < 1:
            raise InputError(f"n_blocks={n_blocks}: give at least one block")
        self.n_qubits, self.n_blocks = n_blocks * n_qubits, n_blocks
        layers = [
            ReuploadingLayer(n_qubits, n_layers, seed=None if seed is None else seed * n_blocks + block, **options)
            for block in range(n_blocks)
        ]
        self.blocks = torch.nn.ModuleList(layers)
        #: width of the output
        self.n_outputs = sum(layer.n_outputs for layer in layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map (batch, n_blocks * n_qubits) to (batch, n_outputs), block after block.

        Raises
        ------
        InputError
            For features of another width.
        """
        if features.ndim != 2 or features.shape[1] != self.n_qubits:
            raise InputError(f"features has shape {tuple(features.shape)}: the layer takes (batch, {self.n_qubits})")
        parts = features.chunk(self.n_blocks, dim=1)
        return torch.cat([block(part) for block, part in zip(self.blocks, parts, strict=True)], dim=1)
