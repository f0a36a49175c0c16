"""A synthetic Perturb-seq screen whose true effects are known, with perturbations that training never sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from qbmvae.perturbation.features import Features

if TYPE_CHECKING:
    from anndata import AnnData


class SyntheticScreen(NamedTuple):
    """Cells of seen and unseen perturbations, the features of all, and their true effects on log mean expression."""

    adata: AnnData
    features: Features
    unseen: list[str]
    effects: pd.DataFrame


def synthetic_screen(
    *,
    n_seen: int = 200,
    n_unseen: int = 51,
    n_genes: int = 400,
    n_latent: int = 6,
    n_features: int = 256,
    n_cells: int = 40,
    n_control: int = 400,
    strength: float = 0.8,
    depth: float = 1500.0,
    seed: int = 0,
) -> SyntheticScreen:
    """Draw a screen.

    Each perturbation has `n_latent` standard normal coordinates u. Its features are a random linear map of u with 10 %
    noise (what a protein language model would give); its effect on the log mean of each gene is a sparse map of
    [u, tanh(2 u M)], one linear and one saturating part of equal variance. Counts are gamma-Poisson, log1p-normalised
    to `depth`. Perturbation P<i> is named after no gene.

    Parameters
    ----------
    n_seen, n_unseen
        Perturbations for training and for the test.
    n_genes, n_cells, n_control
        Genes; cells of each perturbation; control cells.
    n_latent, n_features
        Dimensions of the truth and of the features.
    strength
        Standard deviation of an affected gene's log fold change; a fifth of the genes is affected.
    depth
        Mean counts of a cell.
    seed
        Of everything.
    """
    import anndata as ad

    rng = np.random.default_rng(seed)
    n = n_seen + n_unseen
    u = rng.normal(size=(n, n_latent))
    features = u @ rng.normal(size=(n_latent, n_features)) / np.sqrt(n_latent)
    features += 0.1 * rng.normal(size=features.shape)
    hidden = np.tanh(2 * u @ rng.normal(size=(n_latent, n_latent)) / np.sqrt(n_latent))
    parts = np.hstack([u, hidden / hidden.std()]) / np.sqrt(2 * n_latent)
    affected = rng.random(n_genes) < 0.2
    effects = strength * parts @ rng.normal(size=(2 * n_latent, n_genes)) * affected
    base = rng.gamma(0.6, 1.0, n_genes) + 0.01
    names = [f"P{i}" for i in range(n)]
    blocks, labels = [], []
    for i in range(-1, n):
        mean = base if i < 0 else base * np.exp(effects[i])
        cells = n_control if i < 0 else n_cells
        rate = mean / base.sum() * depth * rng.gamma(4.0, 0.25, (cells, 1))
        counts = rng.poisson(rng.gamma(2.0, 0.5, (cells, n_genes)) * rate).astype(np.float64)
        total = np.maximum(counts.sum(1, keepdims=True), 1)
        blocks.append(sp.csr_matrix(np.log1p(counts / total * depth).astype(np.float32)))
        labels += ["non-targeting" if i < 0 else names[i]] * cells
    adata = ad.AnnData(
        sp.vstack(blocks, format="csr"),
        obs=pd.DataFrame({"target_gene": pd.Categorical(labels)}, index=[f"cell{i}" for i in range(len(labels))]),
        var=pd.DataFrame(index=[f"G{j}" for j in range(n_genes)]),
    )
    table = Features(tuple(names), features.astype(np.float32), "file")
    return SyntheticScreen(adata, table, names[n_seen:], pd.DataFrame(effects, index=names, columns=adata.var_names))
