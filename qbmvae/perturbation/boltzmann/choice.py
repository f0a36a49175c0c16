"""Which way of making cells a model takes: the one whose cells are nearer to the training cells of its perturbations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from qbmvae.perturbation.boltzmann.options import HOWS

if TYPE_CHECKING:
    from anndata import AnnData

    from qbmvae.perturbation.boltzmann.model import BoltzmannPerturbation

#: Perturbations that are looked at, cells of each, fewest cells of one, and principal components.
MOST, CELLS, FEWEST, COMPONENTS = 8, 200, 20, 20


def energy_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Return 2 E|x-y| - E|x-x'| - E|y-y'|, unbiased (Szekely and Rizzo, 2013); about 0 for equal distributions."""
    n, m = len(x), len(y)
    return float(2 * cdist(x, y).mean() - cdist(x, x).sum() / (n * (n - 1)) - cdist(y, y).sum() / (m * (m - 1)))


def chosen(model: BoltzmannPerturbation, adata: AnnData, labels: np.ndarray, seed: int) -> dict[str, float]:
    """Return the mean energy distance of cells made each way from the training cells, by way; empty without cells enough.

    Parameters
    ----------
    model
        A trained model.
    adata, labels
        Its training cells, and the perturbation of each, `(n_cells,)`.
    seed
        Of the cells drawn.
    """
    rng = np.random.default_rng(seed)
    names, counts = np.unique(labels[labels != model.control], return_counts=True)
    names = names[np.argsort(-counts, kind="stable")][: min(MOST, int((counts >= FEWEST).sum()))]
    if not len(names):
        return {}
    real = {str(n): rng.permutation(np.flatnonzero(labels == n))[:CELLS] for n in names}
    base = adata[rng.permutation(np.flatnonzero(labels == model.control))[: 5 * CELLS]]
    seen = {name: model.log1p(adata[rows]) for name, rows in real.items()}
    everything = np.concatenate(list(seen.values()))
    basis = np.linalg.svd(everything[:1000] - everything.mean(0), full_matrices=False)[2][:COMPONENTS].T
    found = {}
    for how in HOWS:
        made = model.predict({n: len(r) for n, r in real.items()}, base, n_control=0, seed=seed, how=how)
        blocks = np.split(model.log1p(made), np.cumsum([len(r) for r in real.values()])[:-1])
        found[how] = float(
            np.mean([energy_distance(x @ basis, seen[n] @ basis) for x, n in zip(blocks, real, strict=True)])
        )
    return found
