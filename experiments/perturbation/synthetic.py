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


def bimodal_screen(
    *,
    n_perturbations: int = 4,
    n_cells: int = 300,
    n_control: int = 600,
    n_genes: int = 120,
    responders: tuple[float, ...] = (0.3, 0.4, 0.5, 0.6),
    strength: float = 2.0,
    depth: float = 2000.0,
    seed: int = 0,
) -> tuple[AnnData, dict[str, float]]:
    """Draw a screen in which a share of each perturbation's cells responds fully and the others not at all.

    Controls are in two states, each with a programme of genes. A responding cell of perturbation P<i> turns on the
    perturbation's own programme (a tenth of the genes, log fold change `strength`) and leaves the first state for the
    second. The mean of such cells is a cell that does not exist: a mean shift cannot make them.

    Parameters
    ----------
    n_perturbations, n_cells, n_control, n_genes
        Sizes.
    responders
        Share of responding cells of each perturbation, repeated where there are more perturbations.
    strength
        Log fold change of a programme's genes.
    depth
        Mean counts of a cell.
    seed
        Of everything.

    Returns
    -------
    Counts with obs["target_gene"], obs["responds"] and obs["state"]; the true share of responders of each perturbation.
    """
    import anndata as ad

    rng = np.random.default_rng(seed)
    base = rng.gamma(1.0, 1.0, n_genes) + 0.1
    size = max(2, n_genes // 10)
    genes = rng.permutation(n_genes)
    states = [genes[:size], genes[size : 2 * size]]
    own = [rng.choice(genes[2 * size :], size, replace=False) for _ in range(n_perturbations)]
    names = [f"P{i}" for i in range(n_perturbations)]
    share = {name: responders[i % len(responders)] for i, name in enumerate(names)}
    blocks, table = [], []
    for i, name in enumerate(["non-targeting", *names], start=-1):
        n = n_control if i < 0 else n_cells
        responds = rng.random(n) < (share[name] if i >= 0 else 0.0)
        state = np.where(responds, 1, rng.random(n) < 0.5).astype(int)
        log_rate = np.tile(np.log(base), (n, 1))
        for s, programme in enumerate(states):
            log_rate[np.ix_(state == s, programme)] += strength
        if i >= 0:
            log_rate[np.ix_(responds, own[i])] += strength
        rate = np.exp(log_rate)
        rate *= depth * rng.gamma(10.0, 0.1, (n, 1)) / rate.sum(1, keepdims=True)
        blocks.append(sp.csr_matrix(rng.poisson(rng.gamma(5.0, 0.2, rate.shape) * rate).astype(np.float32)))
        table.append(pd.DataFrame({"target_gene": name, "responds": responds, "state": state}))
    obs = pd.concat(table, ignore_index=True)
    obs.index = [f"cell{i}" for i in range(len(obs))]
    var = pd.DataFrame(index=[f"G{j}" for j in range(n_genes)])
    return ad.AnnData(sp.vstack(blocks, format="csr"), obs=obs, var=var), share
