"""Mixing of batches judged inside types or together with the types: CiLISI and KNI, which composition cannot please."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.tasks.arrays import check_embedding, nearest_neighbors

if TYPE_CHECKING:
    from scib_metrics.nearest_neighbors import NeighborsResults


def cilisi(embedding: np.ndarray, batch: np.ndarray, label: np.ndarray, perplexity: float = 30.0) -> float:
    """Return CiLISI: the local inverse Simpson index of the batches inside each type, scaled to [0, 1].

    Parameters
    ----------
    embedding
        `(n_cells, n_dimensions)`.
    batch, label
        `(n_cells,)`.
    perplexity
        Effective number of neighbours; three times as many are searched, as in LISI.

    Returns
    -------
    float
        Mean over cells of (LISI - 1) / (batches of the type - 1); types of one batch or of fewer than ten cells are left
        out; NaN where none is left.

    Notes
    -----
    Andreatta et al., Nature Communications 15, 872 (2024). Neighbours are searched among cells of the same type only. A
    type whose batches have unequal sizes cannot reach 1.
    """
    x = check_embedding(embedding)
    scores = []
    for value in np.unique(label):
        rows = np.flatnonzero(label == value)
        codes = np.unique(batch[rows], return_inverse=True)[1]
        n_batches = int(codes.max()) + 1
        if len(rows) < 10 or n_batches < 2:
            continue
        near = nearest_neighbors(x[rows], int(3 * perplexity))
        lisi = _lisi(near, codes, min(perplexity, near.n_neighbors / 3))
        scores.append((lisi - 1) / (n_batches - 1))
    return float(np.concatenate(scores).mean()) if scores else float("nan")


def _lisi(near: NeighborsResults, codes: np.ndarray, perplexity: float) -> np.ndarray:
    """Return LISI of every cell, `(n_cells,)`; the first cell stands in again up to a power of two."""
    from scib_metrics import lisi_knn
    from scib_metrics.nearest_neighbors import NeighborsResults

    n = len(codes)
    # what it runs is compiled for each number of cells, a second and a hundred memory maps apiece: few numbers are enough
    rows = np.arange(max(64, 1 << (n - 1).bit_length()))
    rows[n:] = 0
    padded = NeighborsResults(indices=near.indices[rows], distances=near.distances[rows])
    return np.asarray(lisi_knn(padded, codes[rows], perplexity=perplexity))[:n]


def kni(
    batch: np.ndarray, label: np.ndarray, neighbors: NeighborsResults, k: int = 50, most_of_own_batch: float = 0.8
) -> float:
    """Return KNI: the share of cells in a mixed neighbourhood whose type the cells of other batches in it vote for.

    Parameters
    ----------
    batch, label
        Integer codes, `(n_cells,)`.
    neighbors
        `nearest_neighbors(embedding, 51 or more)`.
    k
        Neighbours, the cell itself not counted.
    most_of_own_batch
        A neighbourhood with this share of the cell's own batch or more counts as not mixed.

    Notes
    -----
    K-neighbours intersection, Diaz-Mejia et al., arXiv 2503.20730 (2025): one score that falls with batch effects and with
    mixed types. Its authors first divide each dimension by its interquartile range; here the embedding is taken as it
    is, as by every other score. A batch that holds more than `most_of_own_batch` of a type's cells fails, however well it
    is mixed.
    """
    near = neighbors.indices[:, 1 : k + 1]
    width = near.shape[1]
    own = batch[near] == batch[:, None]
    votes = np.zeros((len(label), int(label.max()) + 1))
    rows, columns = np.nonzero(~own)
    np.add.at(votes, (rows, label[near[rows, columns]]), 1)
    mixed = own.sum(axis=1) < most_of_own_batch * width
    return float(np.mean(mixed & (votes.sum(axis=1) > 0) & (votes.argmax(axis=1) == label)))


def separated(embedding: Any, label: np.ndarray, pair: tuple[Any, Any] | list[Any], k: int = 15) -> float:
    """Return how well two types are told apart by their nearest neighbours: balanced accuracy, .5 by chance.

    Parameters
    ----------
    embedding
        `(n_cells, n_dimensions)`.
    label
        Types, `(n_cells,)`.
    pair
        The two types.
    k
        Neighbours that vote, the cell itself left out; fewer where the smaller type has not twice as many cells.

    Returns
    -------
    float
        Mean recall of the two types among their own cells; votes are divided by the types' sizes, so that the larger type
        does not win by its size. NaN where a type has fewer than two cells.
    """
    rows = np.flatnonzero(np.isin(label, list(pair)))
    first = label[rows] == pair[0]
    sizes = np.array([first.sum(), (~first).sum()])
    if sizes.min() < 2:
        return float("nan")
    near = nearest_neighbors(check_embedding(embedding)[rows], min(k, 2 * int(sizes.min()) - 1) + 1).indices[:, 1:]
    # one cell fewer of its own type is left to vote
    ours = first[near].sum(axis=1) / (sizes[0] - first)
    others = (~first[near]).sum(axis=1) / (sizes[1] - ~first)
    right = np.where(first, ours > others, others > ours)
    return float((right[first].mean() + right[~first].mean()) / 2)


def closest_pair(
    reference: np.ndarray, label: np.ndarray, batch: np.ndarray, min_cells: int = 10
) -> tuple[Any, Any] | None:
    """Return the two types that lie closest before integration; None where there are fewer than two.

    Parameters
    ----------
    reference
        Principal components before integration, `(n_cells, n_components)`.
    label, batch
        `(n_cells,)`.
    min_cells
        Types with fewer cells in a batch are not looked at there.

    Notes
    -----
    Distance of the means divided by the spread around them, inside each batch, averaged over the batches that hold both.
    """
    found: dict[tuple[Any, Any], list[float]] = {}
    for value in np.unique(batch):
        rows = np.flatnonzero(batch == value)
        types = [t for t in np.unique(label[rows]) if (label[rows] == t).sum() >= min_cells]
        for i, a in enumerate(types):
            for b in types[i + 1 :]:
                x, y = reference[rows[label[rows] == a]], reference[rows[label[rows] == b]]
                spread = np.sqrt((x.var(axis=0).sum() + y.var(axis=0).sum()) / 2)
                distance = np.linalg.norm(x.mean(axis=0) - y.mean(axis=0))
                found.setdefault((a, b), []).append(float(distance / max(spread, 1e-12)))
    return min(found, key=lambda p: np.mean(found[p])) if found else None


def rare_recall(label: np.ndarray, neighbors: NeighborsResults, share: float = 0.05, k: int = 15) -> float:
    """Return how purely the rare types' cells lie together: share of their nearest neighbours that are of their type.

    Parameters
    ----------
    label
        Types, `(n_cells,)`.
    neighbors
        `nearest_neighbors(embedding, 16 or more)`.
    share
        Types with at most this share of the cells are rare.
    k
        Neighbours; as many as a type has other cells where these are fewer.

    Returns
    -------
    float
        Mean over the rare types of two cells or more; NaN where there is none.
    """
    names, sizes = np.unique(label, return_counts=True)
    scores = []
    for name, size in zip(names, sizes, strict=True):
        if 2 <= size <= share * len(label):
            rows = np.flatnonzero(label == name)
            near = neighbors.indices[rows, 1 : min(k, size - 1) + 1]
            scores.append(float((label[near] == name).mean()))
    return float(np.mean(scores)) if scores else float("nan")
