r"""Closed-form alignment of batches: inside soft clusters, every batch's mean is moved onto the mean of the batches.

For coordinates :math:`x_i` of cells in batches :math:`b(i)`, a round takes K clusters with centres :math:`c_k` and

.. math::

    r_{ik} \propto \exp(-\lVert x_i - c_k \rVert^2 / \tau), \quad N_{kb} = \sum_{i \in b} r_{ik}, \quad
    m_{kb} = \frac{1}{N_{kb}} \sum_{i \in b} r_{ik} x_i, \quad s_{kb} = \frac{N_{kb}}{N_{kb} + 10}, \\
    m_k = \frac{\sum_b s_{kb} m_{kb}}{\sum_b s_{kb}}, \quad G_{kb} = s_{kb} (m_{kb} - m_k), \quad
    y_i = x_i - \sum_k r_{ik} G_{k, b(i)}.

A cluster's mean weighs its batches alike (as soon as they have a few cells there), so that composition does not move it,
and a batch that is absent from a cluster moves nothing. The clusters are soft as Harmony's are (Korsunsky et al. 2019),
without its penalty on clusters of one batch. Centres, widths and offsets are fixed by `fit`: a cell's aligned coordinates
do not depend on which other cells are aligned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qbmvae.core.fused.products import linear, mm
from qbmvae.core.fused.shares import softmax_columns

#: Rounds, each on the coordinates that the round before corrected.
ROUNDS = 3
#: Most clusters, and cells for each of them.
MAX_CLUSTERS, CELLS_PER_CLUSTER = 100, 30
#: Width of the soft assignment, as a share of the mean squared distance to the nearest centre.
WIDTH = 0.8
#: Cells of a batch in a cluster at which its offset counts half. With 5 the noise of small batches' means folded a process
#: of 16 weakly differing batches onto itself.
PRIOR_CELLS = 10.0
#: k-means ends where its centres move by less, in the mean, as a share of the coordinates' mean variance: a soft assignment
#: does not notice.
TOLERANCE = 1e-3
#: Cells aligned at once.
CHUNK = 8192


@dataclass(frozen=True)
class Alignment:
    """Where each batch is moved, in each cluster of each round.

    Attributes
    ----------
    centres
        Of the clusters, `(n_rounds, n_clusters, n_dimensions)`.
    means
        Mean of each cluster's cells, every batch alike, `(n_rounds, n_clusters, n_dimensions)`.
    widths
        Of the soft assignment, in squared units of the coordinates, `(n_rounds,)`.
    offsets
        What is subtracted, `(n_batches, n_rounds, n_clusters, n_dimensions)`; zero for a batch without cells.
    """

    centres: Tensor
    means: Tensor
    widths: Tensor
    offsets: Tensor

    def apply(self, x: Tensor, batch: Tensor) -> Tensor:
        """Return the aligned coordinates of cells.

        Parameters
        ----------
        x
            Coordinates, `(n_cells, n_dimensions)` float32.
        batch
            Code of each cell's batch, `(n_cells,)`; cells of a code outside `[0, n_batches)` stay where they are.
        """
        parts = [self._moved(a, b) for a, b in zip(x.split(CHUNK), batch.split(CHUNK), strict=True)]
        return torch.cat(parts) if parts else x.clone()

    def _moved(self, x: Tensor, batch: Tensor) -> Tensor:
        # batch after batch: each is a slice of columns
        order = torch.argsort(batch, stable=True)
        codes, sizes = torch.unique_consecutive(batch[order], return_counts=True)
        y = x.index_select(0, order)
        parts = [
            (part.T.contiguous(), part, self.offsets[code].transpose(1, 2).contiguous())
            for code, part in zip(codes.tolist(), y.split(sizes.tolist()), strict=True)
            if 0 <= code < len(self.offsets)
        ]
        for i, (centres, width) in enumerate(zip(self.centres, self.widths, strict=True)):
            clusters = _clusters(centres, width)
            for columns, _, offsets in parts:
                columns -= mm(offsets[i], _shares(columns, *clusters))
        for columns, part, _ in parts:
            part.copy_(columns.T)
        return y.index_select(0, torch.argsort(order))


def nearness(x: Tensor, centres: Tensor) -> Tensor:
    """Return the mean squared distance of cells to the nearest of some centres, a scalar."""
    return torch.cdist(x, centres).min(1).values.square().mean()


def width_of(x: Tensor, near: Tensor) -> Tensor:
    """Return the width of a soft assignment, a scalar: finite shares also where cells lie on the centres.

    Parameters
    ----------
    x
        The cells, `(n_cells, n_dimensions)`.
    near
        Their `nearness` to the centres.
    """
    return torch.maximum(WIDTH * near, 1e-4 * (x - x.mean(0)).square().sum(1).mean() + 1e-12)


def assignment(x: Tensor, centres: Tensor, width: Tensor | float) -> Tensor:
    """Return each cell's share in each cluster, `(n_cells, n_clusters)`, rows of sum 1.

    Parameters
    ----------
    x
        `(n_cells, n_dimensions)`.
    centres
        `(n_clusters, n_dimensions)`.
    width
        Of the clusters: shares are a softmax of minus the squared distance over this width.
    """
    return _shares(x.T, *_clusters(centres, width)).T


def _clusters(centres: Tensor, width: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return a weight and a bias: the linear map to each cell's logits of the clusters."""
    # the cell's own squared norm is the same for every cluster
    return 2 * centres / width, -centres.square().sum(1) / width


def _shares(columns: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the shares of cells, `(n_clusters, n_cells)`; their coordinates are columns."""
    logits = mm(weight, columns)
    if logits.device.type != "cpu" or logits.dtype != torch.float32:
        return (logits + bias.unsqueeze(1)).softmax(0)
    softmax_columns(logits.numpy(), bias.numpy())
    return logits


@torch.inference_mode()
def fit(x: Tensor, batch: Tensor, n_batches: int, n_clusters: int | None = None, seed: int = 0) -> Alignment:
    """Find clusters and every batch's offset in each.

    Parameters
    ----------
    x
        Coordinates of the cells to fit on, `(n_cells, n_dimensions)`.
    batch
        Code of each cell's batch, `(n_cells,)`, in `[0, n_batches)`.
    n_batches
        Number of batches; one without cells is left where it is.
    n_clusters
        One for every 30 cells by default, at least 2 and at most 100.
    seed
        Seed of the k-means starts.

    Returns
    -------
    The alignment; the identity where fewer than two batches have cells.
    """
    x = x.float()
    n_clusters = min(len(x), n_clusters or min(MAX_CLUSTERS, max(2, len(x) // CELLS_PER_CLUSTER)))
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(ROUNDS):
        centres = kmeans(x, n_clusters, generator)
        width = width_of(x, nearness(x, centres))
        shares = assignment(x, centres, width)
        weight, mean = batch_means(x, batch, shares, n_batches)
        trust = weight / (weight + PRIOR_CELLS)
        common = (trust.unsqueeze(-1) * mean).sum(0) / trust.sum(0).clamp(min=1e-12).unsqueeze(-1)
        offsets = trust.unsqueeze(-1) * (mean - common)
        if len(batch.unique()) < 2:
            offsets = torch.zeros_like(offsets)
        x = _shifted(x, batch, shares, offsets)
        found.append((centres, common, width, offsets))
    centres, means, widths, offsets = (torch.stack(part) for part in zip(*found, strict=True))
    return Alignment(centres, means, widths, offsets.transpose(0, 1).contiguous())


@torch.inference_mode()
def extend(alignment: Alignment, x: Tensor, batch: Tensor, n_batches: int) -> Alignment:
    """Return the alignment with offsets for batches that it has not seen; clusters and known offsets stay.

    Parameters
    ----------
    alignment
        What `fit` returned for the known batches.
    x, batch
        Coordinates and batch codes of cells, `(n_cells, n_dimensions)` and `(n_cells,)`; only those of new batches,
        whose codes follow the known ones, are used.
    n_batches
        Number of batches, known and new.
    """
    known, rounds = len(alignment.offsets), len(alignment.centres)
    offsets = torch.cat(
        [alignment.offsets, alignment.offsets.new_zeros(n_batches - known, *alignment.offsets.shape[1:])]
    )
    new = batch >= known
    x, batch = x[new].float(), batch[new]
    for i in range(rounds):
        shares = assignment(x, alignment.centres[i], alignment.widths[i])
        weight, mean = batch_means(x, batch, shares, n_batches)
        trust = (weight / (weight + PRIOR_CELLS)).unsqueeze(-1)
        offsets[known:, i] = (trust * (mean - alignment.means[i]))[known:]
        x = _shifted(x, batch, shares, offsets[:, i])
    return Alignment(alignment.centres, alignment.means, alignment.widths, offsets)


def batch_means(x: Tensor, batch: Tensor, shares: Tensor, n_batches: int) -> tuple[Tensor, Tensor]:
    """Return each batch's cells in each cluster, `(n_batches, n_clusters)`, and their mean, `(..., n_dimensions)`.

    Parameters
    ----------
    x, batch
        Coordinates and batch codes of cells, `(n_cells, n_dimensions)` and `(n_cells,)`.
    shares
        Each cell's share in each cluster, `(n_cells, n_clusters)`.
    n_batches
        Number of batches; one without cells has zeros.
    """
    weight = torch.zeros(n_batches, shares.shape[1])
    mean = torch.zeros(n_batches, shares.shape[1], x.shape[1])
    for code in batch.unique().tolist():
        rows = batch == code
        weight[code] = shares[rows].sum(0)
        mean[code] = shares[rows].T @ x[rows] / weight[code].clamp(min=1e-12).unsqueeze(-1)
    return weight, mean


def _shifted(x: Tensor, batch: Tensor, shares: Tensor, offsets: Tensor) -> Tensor:
    y = x.clone()
    for code in batch.unique().tolist():
        rows = batch == code
        y[rows] -= shares[rows] @ offsets[code]
    return y


def kmeans(x: Tensor, n_clusters: int, generator: torch.Generator, iterations: int = 30) -> Tensor:
    """Return the centres of k-means, `(n_clusters, n_dimensions)`, started by k-means++ (Arthur, Vassilvitskii 2007).

    Parameters
    ----------
    x
        `(n_cells, n_dimensions)`.
    n_clusters
        How many.
    generator
        Of the start.
    iterations
        At most as many.
    """
    chosen = [int(torch.randint(len(x), (1,), generator=generator))]
    norm = x.square().sum(1)
    squared = torch.full_like(norm, torch.inf)
    while len(chosen) < n_clusters:
        last = x[chosen[-1]]
        near = torch.addmv(norm + last.square().sum(), x, last, alpha=-2).clamp_(min=0)
        squared = torch.minimum(squared, near)
        # cells that all lie on a centre: any will do
        weights = squared if squared.sum() > 0 else torch.ones_like(squared)
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
    centres, little = x[chosen], TOLERANCE * n_clusters * x.var(0, correction=0).mean()
    for _ in range(iterations):
        weight, bias = _clusters(centres, 1.0)
        # numpy's takes half as long as torch's
        nearest = torch.from_numpy(linear(x, weight.T, bias).numpy().argmax(1))
        count = torch.bincount(nearest, minlength=n_clusters).unsqueeze(1)
        total = torch.zeros_like(centres).index_add_(0, nearest, x)
        moved = torch.where(count > 0, total / count.clamp(min=1), centres)
        step = (moved - centres).square().sum()
        centres = moved
        if step <= little:
            break
    return centres
