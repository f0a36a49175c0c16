"""Batches for training: whole groups (pseudobulk) or pairs of a perturbed and a control cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
import torch

from qbmvae.perturbation.backbones.base import Backbone
from qbmvae.perturbation.groups import Groups

# sets of control cells drawn for each group when the backbone is frozen and its outputs are kept
DRAWS = 4


class Batch(NamedTuple):
    """h (batch, width), target delta (batch, n_genes), perturbation index (batch,), |delta| / error (batch, n_genes)."""

    h: torch.Tensor
    target: torch.Tensor
    labels: torch.Tensor
    significance: torch.Tensor


class Source:
    """Draws batches from groups of cells.

    Parameters
    ----------
    backbone
        Its outputs are kept where it is frozen.
    basal
        (n_cells, d): `backbone.basal` of every training cell.
    inputs
        (n_groups, n_features): perturbation inputs of each group.
    x
        Log1p-normalised expression of every cell, for pairs of cells.
    set_size
        Control cells in a set.
    groups
        The groups.
    tuned
        Whether the backbone trains, so that its outputs change.
    seed
        Of the sets of control cells.
    index, batch_size, rng
        Of an epoch: positions of the groups, size of a batch, and the generator.
    """

    def __init__(
        self,
        backbone: Backbone,
        basal: torch.Tensor,
        inputs: torch.Tensor,
        groups: Groups,
        x: sp.csr_matrix | np.ndarray,
        *,
        set_size: int,
        tuned: bool,
        seed: int,
    ):
        self.backbone, self.basal, self.inputs, self.groups, self.x = backbone, basal, inputs, groups, x
        self.set_size, self.tuned = set_size, tuned
        self.labels = torch.from_numpy(np.unique(groups.labels, return_inverse=True)[1])
        self.target = torch.from_numpy(groups.delta)
        self.significance = torch.from_numpy(np.abs(groups.delta) / groups.error)
        self.refresh(seed)

    @torch.no_grad()
    def refresh(self, seed: int) -> None:
        """Encode every group with fresh sets of control cells; again after a tuned backbone has moved."""
        rng = np.random.default_rng(seed)
        everything = np.arange(len(self.groups.labels))
        self.kept = torch.stack([self._encode(everything, rng) for _ in range(DRAWS)])

    def _encode(self, index: np.ndarray, rng: np.random.Generator, chunk: int = 64) -> torch.Tensor:
        out = []
        for start in range(0, len(index), chunk):
            part = index[start : start + chunk]
            sets = [rng.choice(self.groups.control_rows[str(self.groups.contexts[i])], self.set_size) for i in part]
            out.append(self.backbone(self.basal[torch.from_numpy(np.stack(sets))], self.inputs[part]))
        return torch.cat(out)

    def mean_h(self) -> torch.Tensor:
        """Return the backbone's output of every group, averaged over the draws, (n_groups, width)."""
        return self.kept.mean(0)

    def take(self, index: np.ndarray, h: torch.Tensor) -> Batch:
        """Return the batch of some groups with their backbone outputs."""
        return Batch(h, self.target[index], self.labels[index], self.significance[index])

    def groups_epoch(self, index: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield every group of `index` once, in random order."""
        for part in _parts(rng.permutation(index), batch_size):
            if self.tuned:
                yield self.take(part, self._encode(part, rng))
            else:
                yield self.take(
                    part, self.kept[torch.from_numpy(rng.integers(DRAWS, size=len(part))), torch.from_numpy(part)]
                )

    def cells_epoch(self, index: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield every perturbed cell of the groups once, each with a random control cell of its context."""
        owner = np.repeat(index, [len(self.groups.rows[i]) for i in index])
        cells = np.concatenate([self.groups.rows[i] for i in index])
        for part in _parts(rng.permutation(len(cells)), batch_size):
            who = owner[part]
            control = np.array([rng.choice(self.groups.control_rows[str(self.groups.contexts[i])]) for i in who])
            difference = self.x[cells[part]] - self.x[control]
            dense = np.asarray(difference.todense() if sp.issparse(difference) else difference, dtype=np.float32)
            h = self.backbone(self.basal[torch.from_numpy(control)][:, None], self.inputs[who])
            yield Batch(h, torch.from_numpy(dense), self.labels[who], self.significance[who])


def _parts(order: np.ndarray, batch_size: int) -> list[np.ndarray]:
    parts = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    # a batch of one has no spread to normalise by and no rival to rank against
    if len(parts) > 1 and len(parts[-1]) < 2:
        parts[-2:] = [np.concatenate(parts[-2:])]
    return parts
