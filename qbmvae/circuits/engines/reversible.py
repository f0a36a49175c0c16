"""The Clifford-frame engine for large registers: one sample at a time, states recomputed backwards.

It is the torch engine with a compiled Walsh-Hadamard transform; memory does not grow with the depth of the circuit, and
by one state vector with the batch.

Parameters
----------
program, shared, sample
    As in `frame_torch`.
"""

from __future__ import annotations

from typing import Any

import torch

from qbmvae.circuits.engines.frame_torch import FrameFunction, TorchProgram
from qbmvae.circuits.frame import Program
from qbmvae.circuits.kernels.tiles import LANES
from qbmvae.circuits.kernels.walsh import walsh_hadamard


class ReversibleProgram(TorchProgram):
    """A program that keeps no states and transforms long vectors in compiled code.

    Parameters
    ----------
    dtype, probabilities
        As in `TorchProgram`.
    """

    def __init__(self, program: Program, dtype: torch.dtype, *, probabilities: bool):
        super().__init__(program, dtype, torch.device("cpu"), keep=False, probabilities=probabilities)
        self._plain: TorchProgram | None = None

    def plain(self) -> TorchProgram:
        """Return the same program in torch operations alone, through which autograd can go."""
        if self._plain is None:
            probabilities = self.outcomes is not None
            self._plain = TorchProgram(self.program, self.dtype, self.device, keep=False, probabilities=probabilities)
        return self._plain

    def hadamards(self, array: torch.Tensor, mask: int) -> torch.Tensor:
        """Apply normalised Hadamards to the qubits of `mask` of (2**n, 1), real or complex."""
        width = 2 if array.is_complex() else 1
        if not mask or array.numel() * width < LANES * LANES or array.shape[1] > 1:
            return super().hadamards(array, mask)
        out = array.clone(memory_format=torch.contiguous_format)
        real = torch.view_as_real(out) if out.is_complex() else out
        rows = real.numpy().reshape(-1, LANES)
        walsh_hadamard(rows, mask * width, rows.dtype.type(2.0 ** (-mask.bit_count() / 2)))
        return out


class ReversibleFunction:
    """`FrameFunction`, sample by sample."""

    @staticmethod
    def apply(program: Any, shared: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
        """Return (batch, n_outputs)."""
        return torch.cat([FrameFunction.apply(program, shared, sample[:, k : k + 1]) for k in range(sample.shape[1])])
