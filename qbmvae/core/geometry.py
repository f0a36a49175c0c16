r"""A linear map after which distances between groups of cells are those of measured expression.

A trained embedding keeps neighbours, yet how far one type lies from another is whatever the decoder made of it: after a few
hundred cells of several technologies the distances between clusters correlate with measured ones at .8, where .95 is usual.
For coordinates :math:`y` of cells and the leading 20 principal components :math:`t` of their expression
(log-normalised, each gene divided by its standard deviation), both centred in every batch, ridge regression gives
:math:`t \approx y B`, and the map is

.. math:: y \mapsto y \, (I + s BB^T)^{1/2}, \qquad s = w^2 \, \frac{\mathrm{tr}\,\mathrm{Cov}(y)}{\mathrm{tr}\,\mathrm{Cov}(yB)},

so that a squared distance becomes :math:`\lVert \Delta y \rVert^2 + s \lVert \Delta y B \rVert^2`: with w = 1 half of it is
that of expression, as far as a linear map of the embedding knows it. Being linear, it tears and merges nothing. The weight w
is the least at which distances between the centres of ten clusters correlate with those of expression, each batch's offset
taken out, at .98; at least .35 and at most 1.25.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from qbmvae.core.alignment import PRIOR_CELLS, assignment, batch_means, kmeans, nearness, width_of

#: Principal components of expression, and the least standard deviation that a gene is divided by.
COMPONENTS, LEAST_DEVIATION = 20, 0.05
#: Ridge penalty, as a share of the coordinates' mean variance.
RIDGE = 0.01
#: Clusters between which distances are compared, starts of k-means, and the correlation that is asked for.
CLUSTERS, STARTS, AGREEMENT = 10, 5, 0.98
#: The weights that are tried in turn. From 0.5 on k-means merges mixtures of cell lines where distances agree already.
WEIGHTS = np.geomspace(0.35, 1.25, 24)


@torch.inference_mode()
def fit(y: Tensor, expression: Tensor, batch: Tensor, seed: int = 0) -> Tensor:
    """Return the map, symmetric, `(n_dimensions, n_dimensions)` float32; multiply coordinates from the right.

    Parameters
    ----------
    y
        Coordinates of cells, `(n_cells, n_dimensions)`.
    expression
        Their log-normalised expression, `(n_cells, n_genes)`.
    batch
        Code of each cell's batch, `(n_cells,)`; all 0 without batches.
    seed
        Of the principal components and of k-means.
    """
    identity = torch.eye(y.shape[1])
    centred = _without_batch_means(y.double(), batch)
    expression = expression.float()
    scaled = expression / expression.std(0, correction=0).clamp(min=LEAST_DEVIATION)
    components = _components(_without_batch_means(scaled, batch), seed)
    gram = centred.T @ centred
    penalty = RIDGE * gram.diagonal().mean()
    if not penalty > 0 or not components.abs().max() > 0:
        return identity  # every cell in one place, or genes that do not vary
    b = torch.linalg.solve(gram + penalty * torch.eye(len(gram), dtype=gram.dtype), centred.T @ components)
    part = (y.double() - y.double().mean(0)) @ b
    explained = part.square().sum()
    if not explained > 0:
        return identity
    unit = (y.double() - y.double().mean(0)).square().sum() / explained
    metric = unit * (b @ b.T)
    s = least_weight(y, unit.sqrt() * part, components, batch, seed) ** 2
    values, vectors = torch.linalg.eigh(metric)
    return ((vectors * (1 + s * values.clamp(min=0)).sqrt()) @ vectors.T).float().contiguous()


def least_weight(y: Tensor, part: Tensor, components: Tensor, batch: Tensor, seed: int) -> float:
    """Return the least weight at which distances between clusters agree with those of expression.

    Parameters
    ----------
    y, part
        Coordinates, and what expression adds to them at weight 1, `(n_cells, ...)`.
    components
        Of expression, batches' means taken out, `(n_cells, n_components)`.
    batch
        Code of each cell's batch, `(n_cells,)`.
    seed
        Of k-means.
    """
    shares = _clusters(y.float(), seed)
    size = shares.sum(0).double()
    centre = [shares.T.double() @ x.double() / size.unsqueeze(1) for x in (y, part)]
    near, added = (torch.cdist(c, c).square() for c in centre)
    place = _consensus(components.float(), batch, shares).double()
    measured = torch.cdist(place, place)
    for weight in WEIGHTS:
        if agreement((near + weight**2 * added).sqrt(), measured, size) >= AGREEMENT:
            break
    return float(weight)


def agreement(ours: Tensor, theirs: Tensor, size: Tensor) -> float:
    """Return the mean correlation of each cluster's distances to the others, weighted by the clusters' sizes.

    Parameters
    ----------
    ours, theirs
        Distances between clusters, `(n_clusters, n_clusters)`.
    size
        Of the clusters, `(n_clusters,)`.

    Returns
    -------
    Between -1 and 1; 1 where there are fewer than three clusters, which have no pattern of distances.
    """
    n = len(size)
    if n < 3:
        return 1.0
    weight = size.expand(n, n) * (1 - torch.eye(n, dtype=size.dtype))
    weight = weight / weight.sum(1, keepdim=True)
    a, b = (d - (weight * d).sum(1, keepdim=True) for d in (ours, theirs))
    spread = ((weight * a * a).sum(1) * (weight * b * b).sum(1)).sqrt().clamp(min=1e-30)
    return float(((weight * a * b).sum(1) / spread * size).sum() / size.sum())


def _clusters(y: Tensor, seed: int) -> Tensor:
    """Return each cell's share in the clusters of the best of some starts, `(n_cells, n_clusters)`."""
    generator = torch.Generator().manual_seed(seed)
    starts = [kmeans(y, max(1, min(CLUSTERS, len(y) // 5)), generator) for _ in range(STARTS)]
    near, centres = min(((nearness(y, centres), centres) for centres in starts), key=lambda start: float(start[0]))
    return assignment(y, centres, width_of(y, near))


def _consensus(x: Tensor, batch: Tensor, shares: Tensor, rounds: int = 50) -> Tensor:
    """Return the clusters' means with an offset of each batch taken out, `(n_clusters, n_components)`.

    The means of batches in clusters are fitted by a cluster's place plus a batch's offset, weighted by how many cells they
    rest on: a cluster of one batch alone is placed without that batch's offset.
    """
    weight, mean = batch_means(x, batch, shares, int(batch.max()) + 1)
    trust = (weight / (weight + PRIOR_CELLS)).unsqueeze(-1)
    per_cluster, per_batch = (trust.sum(k).clamp(min=1e-12) for k in (0, 1))
    offset = torch.zeros(len(mean), 1, x.shape[1])
    for _ in range(rounds):
        place = (trust * (mean - offset)).sum(0) / per_cluster
        offset = ((trust * (mean - place)).sum(1) / per_batch).unsqueeze(1)
    return place


def _components(x: Tensor, seed: int) -> Tensor:
    """Return leading principal components, `(n_cells, n_components)` double."""
    from sklearn.utils.extmath import randomized_svd

    k = min(COMPONENTS, *x.shape)
    left, values, _ = randomized_svd(x.numpy(), n_components=k, n_iter=4, random_state=seed)
    return torch.from_numpy(left * values).double()


def _without_batch_means(x: Tensor, batch: Tensor) -> Tensor:
    found = x.clone()
    for code in batch.unique().tolist():
        rows = batch == code
        found[rows] -= found[rows].mean(0)
    return found
