"""From parameters and features to the angles of a program's strings, differentiably."""

from __future__ import annotations

import torch

from qbmvae.circuits.frame import Program, Terms


class AngleMap:
    """Linear maps of a program's angles, as tensors on one device.

    Parameters
    ----------
    program
        The compiled circuit.
    dtype, device
        Of the tensors.
    """

    def __init__(self, program: Program, dtype: torch.dtype, device: torch.device):
        self.shared = _Sum(program.shared_terms, len(program.shared_masks), dtype, device)
        self.sample = _Sum(program.sample_terms, len(program.sample_masks), dtype, device)
        self.offset = torch.as_tensor(program.shared_offset, dtype=dtype, device=device)

    def __call__(self, params: torch.Tensor, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return shared angles (n_shared,) and per-sample angles (n_sample, batch)."""
        return self.shared(params[:, None])[:, 0] + self.offset, self.sample(features.T)


class _Sum:
    def __init__(self, terms: Terms, count: int, dtype: torch.dtype, device: torch.device):
        self.index = torch.as_tensor(terms.index, dtype=torch.long, device=device)
        self.string = torch.as_tensor(terms.string, dtype=torch.long, device=device)
        self.coefficient = torch.as_tensor(terms.coefficient, dtype=dtype, device=device)[:, None]
        self.count, self.single = count, terms.string == list(range(count))

    def __call__(self, source: torch.Tensor) -> torch.Tensor:
        values = source[self.index] * self.coefficient
        if self.single:  # one source a string, in order
            return values
        return values.new_zeros(self.count, values.shape[1]).index_add(0, self.string, values)
