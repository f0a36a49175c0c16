"""Small perturbation screens for the tests."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp


def _annotate(x, labels, *, genes=None, key="target_gene", sparse=True):
    labels = list(labels)
    genes = [f"g{i}" for i in range(x.shape[1])] if genes is None else list(genes)
    return ad.AnnData(
        sp.csr_matrix(x) if sparse else x,
        obs=pd.DataFrame({key: labels}, index=[f"c{i}" for i in range(len(labels))]),
        var=pd.DataFrame(index=genes),
    )


def _poisson_screen(seed, *, n_genes=150, n_perts=10, n_cells=50, effect=1.0, sparse=True, dtype=np.float32, truth=0):
    """Log1p-normalised cells: perturbation p targets gene g<p>; the same `truth` gives the same true effects."""
    rng, effects = np.random.default_rng(seed), np.random.default_rng(truth)
    base = effects.gamma(0.5, 2, n_genes) + 0.02
    blocks, names = [], []
    for p in range(n_perts + 1):
        mean = base * np.exp(effect * effects.normal(size=n_genes) * (effects.random(n_genes) < 0.2)) if p else base
        m = (3 * n_cells if p == 0 else n_cells) + int(rng.integers(0, 10))
        blocks.append(rng.poisson(mean * rng.gamma(5, 0.2, (m, 1))))
        names += [f"g{p}" if p else "non-targeting"] * m
    counts = np.concatenate(blocks).astype(float)
    x = np.log1p(counts / np.maximum(counts.sum(1, keepdims=True), 1) * 1e3).astype(dtype)
    return _annotate(x, names, sparse=sparse)


@pytest.fixture(scope="session")
def annotate():
    return _annotate


@pytest.fixture(scope="session")
def poisson_screen():
    return _poisson_screen
