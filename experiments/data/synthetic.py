"""A seeded generator of counts whose types, batches and trajectory are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


def synthetic(
    n_cells: int = 1500,
    n_genes: int = 500,
    n_types: int = 3,
    n_batches: int = 3,
    batch_effect: float = 0.5,
    depth: float = 2000.0,
    seed: int | np.random.Generator | None = 0,
) -> AnnData:
    """Return counts of a branching process and of settled types, measured in several batches.

    A progenitor matures along one of two branches ("early" to "fate A" or "fate B"); `n_types` further types stand
    apart. Log rates are sums of gene programmes: each type and each branch changes a random tenth of the genes, a
    branch in proportion to its time. A batch multiplies each gene's rate by exp(batch_effect * N(0, 1)), has its own
    depth and its own composition. Counts are negative binomial with a dispersion of its own for each gene.

    Parameters
    ----------
    n_cells, n_genes
        Size.
    n_types
        Types besides the branching process, 0 or more.
    n_batches
        Batches, 1 or more.
    batch_effect
        Standard deviation of a batch's log factors; 0 for none.
    depth
        Mean total counts of a cell.
    seed
        Seed or generator.

    Returns
    -------
    AnnData
        CSR float32 counts; obs "cell_type", "batch", "lineage" and "time" (0 to 1, NaN and "" off the process);
        uns["iroot"], the earliest cell.

    Raises
    ------
    InputError
        For sizes that leave nothing to draw.
    """
    import anndata as ad

    if n_cells < 10 or n_genes < 20 or n_types < 0 or n_batches < 1:
        raise InputError(
            f"synthetic data need 10 cells, 20 genes and 1 batch or more, not {n_cells}, {n_genes}, {n_batches}"
        )
    generator = np.random.default_rng(seed)
    base = generator.normal(-1.0, 1.5, n_genes)
    programmes = generator.normal(0, 2.0, (n_types + 3, n_genes)) * (
        generator.uniform(size=(n_types + 3, n_genes)) < 0.1
    )
    batch = generator.integers(0, n_batches, n_cells)
    # each batch has its own composition: half of it equal shares, half drawn
    kinds = n_types + 2
    shares = 0.5 / kinds + 0.5 * generator.dirichlet(np.ones(kinds), n_batches)
    kind = np.array([generator.choice(kinds, p=shares[b]) for b in batch])
    time = np.where(kind < 2, generator.uniform(size=n_cells), np.nan)
    early = np.nan_to_num(time)[:, None]
    log_rate = np.where(
        (kind < 2)[:, None],
        base + (1 - early) * programmes[2] + early * programmes[np.minimum(kind, 1)],
        base + programmes[np.minimum(np.maximum(kind + 1, 3), n_types + 2)],
    )
    log_rate = log_rate + batch_effect * generator.normal(size=(n_batches, n_genes))[batch]
    rate = np.exp(log_rate)
    rate /= rate.sum(axis=1, keepdims=True)
    depths = depth * np.exp(generator.normal(0, 0.3, n_batches)[batch] + generator.normal(0, 0.3, n_cells))
    dispersion = np.exp(generator.normal(1.0, 0.5, n_genes))
    counts = generator.poisson(depths[:, None] * rate * generator.gamma(dispersion, 1 / dispersion, (n_cells, n_genes)))
    counts[counts.sum(axis=1) == 0, 0] = 1
    # the first third of the process is shared: both branches start as the progenitor does
    fates = np.array(["fate A", "fate B", *(f"type {i + 1}" for i in range(n_types))])
    names = np.where(np.nan_to_num(time, nan=1.0) < 1 / 3, "early", fates[kind])
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(names),
            "batch": pd.Categorical([f"batch {b + 1}" for b in batch]),
            "lineage": pd.Categorical(np.where(kind < 2, np.where(kind == 0, "A", "B"), "")),
            "time": time,
        },
        index=[f"cell{i}" for i in range(n_cells)],
    )
    adata = ad.AnnData(
        sp.csr_matrix(counts, dtype=np.float32), obs=obs, var=pd.DataFrame(index=[f"gene{i}" for i in range(n_genes)])
    )
    adata.uns["iroot"] = int(np.nanargmin(time)) if np.isfinite(time).any() else 0
    return adata
