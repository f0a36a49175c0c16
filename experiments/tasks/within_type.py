"""Conservation inside types: does the embedding keep how the cells of a type differ from each other?"""

from __future__ import annotations

from typing import Any

import numpy as np

from experiments.tasks.arrays import check_embedding, finite_mean


def within_type(
    embedding: Any,
    before: Any,
    batch: np.ndarray,
    label: np.ndarray,
    min_cells: int = 20,
    max_cells: int = 300,
    seed: int = 0,
) -> float:
    """Return the rank correlation of cells' distances before and after integration, inside each type of each batch.

    Parameters
    ----------
    embedding
        `(n_cells, n_dimensions)`.
    before
        Principal components before integration, `(n_cells, n_components)`: inside one batch they hold no batch effect.
    batch, label
        `(n_cells,)`.
    min_cells
        Groups (a type in a batch) with fewer cells are left out.
    max_cells
        Cells of a group that are compared, a seeded choice: distances grow with the square.
    seed
        Of that choice.

    Returns
    -------
    float
        Spearman's correlation, averaged over groups weighted by their cells; 0 by chance, 1 where all distances keep their
        order; NaN where no group is large enough.

    Notes
    -----
    The question is that of scIB-E (Genome Biology 2025, 10.1186/s13059-025-03869-z): scIB does not see what integration
    does inside a type. The score is ours. Noise keeps it below 1: see the noise ceiling next to it.
    """
    from scipy.spatial.distance import pdist
    from scipy.stats import spearmanr

    x, reference = check_embedding(embedding), check_embedding(before)
    rng = np.random.default_rng(seed)
    scores, sizes = [], []
    for value in np.unique(batch):
        for name in np.unique(label[batch == value]):
            rows = np.flatnonzero((batch == value) & (label == name))
            if len(rows) < min_cells:
                continue
            chosen = rows if len(rows) <= max_cells else np.sort(rng.choice(rows, max_cells, replace=False))
            after, old = pdist(x[chosen]), pdist(reference[chosen])
            # cells that an embedding puts on one point keep nothing
            flat = np.ptp(after) == 0 or np.ptp(old) == 0
            scores.append(0.0 if flat else float(spearmanr(after, old).statistic))
            sizes.append(len(rows))
    return float(np.average(scores, weights=sizes)) if scores and np.isfinite(finite_mean(scores)) else float("nan")
