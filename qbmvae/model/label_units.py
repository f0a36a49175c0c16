"""The label units in a model's module: what is saved and exported with its weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from qbmvae.core.labels.machine import LabelMachine
from qbmvae.core.priors.base import Prior
from samplers.errors import InputError


class LabelUnits(nn.Module):
    """The label units of a model, and a plain softmax of each column of labels, fitted to the same targets.

    Parameters
    ----------
    prior
        The model's; the machine starts from a copy.
    n_labels
        How many labels each column has.

    Raises
    ------
    InputError
        For a continuous prior.
    """

    weight: Tensor
    constant: Tensor

    def __init__(self, prior: Prior, n_labels: Sequence[int]):
        super().__init__()
        if not prior.discrete:
            raise InputError(
                "labels are units of a machine over bits, and this model's prior is continuous: choose a prior over bits, "
                "or leave unlabeled_category out"
            )
        self.machine = LabelMachine(prior, n_labels)  # type: ignore[arg-type]
        self.register_buffer("weight", torch.zeros(sum(n_labels), prior.n_latent))
        self.register_buffer("constant", torch.zeros(sum(n_labels)))

    def softmax(self, q: Tensor, group: int) -> Tensor:
        """Return the plain softmax's probabilities of one column's labels from bit probabilities."""
        rows = slice(sum(self.machine.groups[:group]), sum(self.machine.groups[: group + 1]))
        return torch.softmax(q @ self.weight[rows].T + self.constant[rows], -1)
