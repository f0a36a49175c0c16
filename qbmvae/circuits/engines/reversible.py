"""The Clifford-frame engine for large registers: one sample at a time, states recomputed backwards."""

from __future__ import annotations

import torch

from qbmvae.circuits.engines.frame_torch import FrameFunction, TorchProgram
from qbmvae.circuits.frame import Program


class ReversibleProgram(TorchProgram):
    """A program that keeps no states."""

    def __init__(self, program: Program, dtype: torch.dtype, *, probabilities: bool):
        super().__init__(program, dtype, torch.device("cpu"), keep=False, probabilities=probabilities)


class ReversibleFunction(FrameFunction):
    """The torch engine without kept states."""
