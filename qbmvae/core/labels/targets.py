"""Soft labels of cells from their neighbours, and the plain classifiers that the machine is compared with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

#: Labelled neighbours that vote, at most and (for soft targets) at least.
NEIGHBOURS, FEWEST_NEIGHBOURS = 15, 3


def neighbour_votes(
    cells: np.ndarray, labelled: np.ndarray, codes: np.ndarray, n_labels: int, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """Return each cell's label probabilities: votes of its nearest labelled cells, weighted by inverse distance.

    Parameters
    ----------
    cells
        Coordinates of the cells, `(n_cells, n_dimensions)`.
    labelled, codes
        Coordinates and label codes of the labelled cells, `(n_labelled, n_dimensions)` and `(n_labelled,)`.
    n_labels
        How many labels there are.
    neighbours
        How many vote, at most.

    Returns
    -------
    `(n_cells, n_labels)`, rows sum to 1.
    """
    from sklearn.neighbors import NearestNeighbors

    if not len(cells):
        return np.zeros((0, n_labels))
    index = NearestNeighbors(n_neighbors=min(neighbours, len(labelled))).fit(labelled)
    distance, rows = index.kneighbors(cells)
    # a cell on top of a labelled one takes its label
    weight = 1.0 / np.maximum(distance, 1e-6 * max(float(np.median(distance)), 1e-12))
    votes = np.zeros((len(cells), n_labels))
    np.add.at(votes, (np.arange(len(cells))[:, None], codes[rows]), weight)
    return votes / votes.sum(1, keepdims=True)


def soft_targets(cells: np.ndarray, codes: np.ndarray, n_labels: int) -> np.ndarray:
    """Return targets of every cell: its own label where it has one, else its neighbours' votes, squared and normalised.

    As many neighbours vote as a label has cells (their median), 3 to 15: with five cells a label fifteen neighbours reach into
    other labels everywhere, and confidence falls .2 to .3 short of accuracy.

    Parameters
    ----------
    cells
        Coordinates, `(n_cells, n_dimensions)`.
    codes
        Label codes, -1 where there is none, `(n_cells,)`.
    n_labels
        How many labels there are.

    Returns
    -------
    `(n_cells, n_labels)`, rows sum to 1.
    """
    known = np.flatnonzero(codes >= 0)
    targets = np.zeros((len(cells), n_labels))
    targets[known, codes[known]] = 1.0
    rest = np.flatnonzero(codes < 0)
    of_a_label = int(np.median(np.unique(codes[known], return_counts=True)[1]))
    neighbours = min(NEIGHBOURS, max(FEWEST_NEIGHBOURS, of_a_label))
    votes = neighbour_votes(cells[rest], cells[known], codes[known], n_labels, neighbours) ** 2
    targets[rest] = votes / votes.sum(1, keepdims=True)
    return targets


def combined(groups: Sequence[np.ndarray]) -> np.ndarray:
    """Return each cell's probabilities of the combinations of several columns' labels: their product.

    Cells that are labelled in every column say which labels go together; in others the columns count as independent. A
    combination that makes up less than half a cell in all is left out.

    Parameters
    ----------
    groups
        Each column's probabilities, `(n_cells, n_labels)`.

    Returns
    -------
    `(n_cells, n_combinations)`, the last column's labels changing fastest; rows sum to 1.
    """
    joint = groups[0]
    for other in groups[1:]:
        joint = (joint[:, :, None] * other[:, None, :]).reshape(len(joint), -1)
    kept = joint * (joint.sum(0) >= 0.5)
    total = kept.sum(1, keepdims=True)
    return np.where(total > 0, kept / np.where(total > 0, total, 1.0), joint)


def fit_softmax(q: Tensor, targets: Tensor, penalty: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Return weights, `(n_labels, n_latent)`, and constants, `(n_labels,)`, of a softmax on the bits' probabilities.

    Parameters
    ----------
    q
        Bit probabilities, `(n_cells, n_latent)`.
    targets
        Soft labels, `(n_cells, n_labels)`, rows summing to 1.
    penalty
        Weight of the squared weights.
    """
    x, t = q.double(), targets.double()
    weight = torch.zeros(t.shape[1], x.shape[1], dtype=torch.float64, requires_grad=True)
    constant = torch.zeros(t.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, constant], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = -(t * torch.log_softmax(x @ weight.T + constant, 1)).sum(1).mean() + penalty * weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)  # type: ignore[arg-type]
    return weight.detach().float(), constant.detach().float()
