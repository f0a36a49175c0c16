"""Labels in the training of the encoder: a classifier on the bits' probabilities, of the labelled cells alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


class Supervision(nn.Module):
    """A linear softmax on the code for each column of labels, trained with the encoder, whose loss pulls types apart.

    A minibatch's loss is the sum over its labelled cells divided by all its cells: few labels pull little.

    Parameters
    ----------
    codes
        Label codes of all cells, -1 where there is none, `(n_cells, n_columns)`.
    groups
        Labels of each column.
    n_latent
        Length of the code.
    weight
        Of the loss.
    """

    codes: Tensor

    def __init__(self, codes: np.ndarray, groups: Sequence[int], n_latent: int, weight: float):
        super().__init__()
        self.weight = weight
        self.register_buffer("codes", torch.from_numpy(codes.astype(np.int64)), persistent=False)
        # at zero: no label pulls before the classifier has learned where types lie
        heads = [nn.Linear(n_latent, n) for n in groups]
        for head in heads:
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        self.heads = nn.ModuleList(heads)

    def forward(self, code: Tensor, rows: np.ndarray) -> Tensor:
        """Return the weighted cross-entropy, scalar.

        Parameters
        ----------
        code
            Bit probabilities, `(n_cells, n_latent)`.
        rows
            Which cells these are, `(n_cells,)`.
        """
        known = self.codes[torch.from_numpy(rows).to(self.codes.device)]
        losses = [
            nn.functional.cross_entropy(head(2 * code - 1), own, ignore_index=-1, reduction="sum")
            for head, own in zip(self.heads, known.T, strict=True)
        ]
        return self.weight * torch.stack(losses).sum() / len(code)
