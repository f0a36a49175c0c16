"""The drug's branch: three graph convolutions, a global max pool and two dense layers, over the distinct drugs of a batch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from qbmvae.drug_response.featurise import N_ATOM_FEATURES, Molecule

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


@dataclass(frozen=True)
class GraphBatch:
    """Several molecules as one disconnected graph.

    Parameters
    ----------
    propagated
        Atom features after the first propagation, `(n_atoms, 78)`.
    adjacency
        The block-diagonal propagation matrix, `(n_atoms, n_atoms)` sparse CSR, symmetric.
    members
        `(n_drugs, most atoms)` rows of each drug; short drugs repeat their first atom, which a maximum does not see.
    """

    propagated: torch.Tensor
    adjacency: torch.Tensor
    members: torch.Tensor


class MoleculeSet:
    """All drugs of a data set, from which a batch takes the ones it needs.

    Parameters
    ----------
    molecules
        The drugs; their positions are the drug indices.
    """

    def __init__(self, molecules: Sequence[Molecule]):
        self.molecules = list(molecules)
        self.sizes = np.array([m.n_atoms for m in self.molecules], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.molecules)

    def batch(self, drugs: np.ndarray) -> GraphBatch:
        """Return the drugs at these indices as one graph, in this order."""
        chosen = [self.molecules[k] for k in drugs]
        sizes = self.sizes[drugs]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        columns = np.concatenate([m.adjacency.indices + s for m, s in zip(chosen, starts, strict=True)])
        degrees = np.concatenate([np.diff(m.adjacency.indptr) for m in chosen])
        n = int(sizes.sum())
        adjacency = torch.sparse_csr_tensor(
            torch.from_numpy(np.concatenate([[0], np.cumsum(degrees)])),
            torch.from_numpy(columns.astype(np.int64)),
            torch.from_numpy(np.concatenate([m.adjacency.data for m in chosen])),
            size=(n, n),
            check_invariants=False,
        )
        offsets = np.arange(sizes.max())
        members = starts[:, None] + np.where(offsets < sizes[:, None], offsets, 0)
        propagated = torch.from_numpy(np.concatenate([m.propagated for m in chosen]))
        return GraphBatch(propagated, adjacency, torch.from_numpy(members))


class DrugEncoder(nn.Module):
    """Graph convolutions 78-78-156-312, global max pooling, 312-1024-128 (GraphDRP's widths; Liu et al., 2020).

    Parameters
    ----------
    n_out
        Width of the output.
    n_hidden
        Width of the dense layer.
    dropout
        Dropout after the dense layer.
    """

    def __init__(self, n_out: int = 128, n_hidden: int = 1024, dropout: float = 0.0):
        super().__init__()
        widths = (N_ATOM_FEATURES, N_ATOM_FEATURES, 2 * N_ATOM_FEATURES, 4 * N_ATOM_FEATURES)
        self.convolutions = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.dense = nn.Sequential(
            nn.Linear(widths[-1], n_hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(n_hidden, n_out)
        )

    def forward(self, graphs: GraphBatch) -> torch.Tensor:
        """Return `(n_drugs, n_out)`."""
        # propagate before the product with the weights: the narrower side, and the first one is a constant
        atoms = torch.relu(self.convolutions[0](graphs.propagated))
        for convolution in self.convolutions[1:]:
            atoms = torch.relu(convolution(_Propagate.apply(atoms, graphs.adjacency)))
        return self.dense(atoms[graphs.members].max(dim=1).values)


class _Propagate(torch.autograd.Function):
    """A constant symmetric sparse matrix times atoms; its gradient is the same product."""

    @staticmethod
    def forward(ctx: Any, atoms: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        ctx.adjacency = adjacency
        return adjacency @ atoms

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.adjacency @ grad.contiguous(), None
