from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp


def make_adata(n: int = 240, genes: int = 60, seed: int = 0) -> ad.AnnData:
    """Return counts of three types in two batches, CSR."""
    rng = np.random.default_rng(seed)
    types = rng.integers(3, size=n)
    batch = rng.integers(2, size=n)
    profile = rng.gamma(0.6, 1.0, size=(3, genes)) + 0.05
    shift = np.exp(0.4 * rng.normal(size=(2, genes)))
    frequency = profile[types] * shift[batch]
    frequency /= frequency.sum(1, keepdims=True)
    library = rng.lognormal(5.5, 0.3, size=n)
    x = rng.poisson(library[:, None] * frequency).astype(np.float32)
    x[:, 0] += 1
    x[0] += 1
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical(np.array(["ctrl", "stim"])[batch]),
            "cell_type": pd.Categorical(np.array(["A", "B", "C"])[types]),
            "donor": pd.Categorical(np.array(["d1", "d2", "d3"])[rng.integers(3, size=n)]),
            "age": rng.normal(size=n),
            "size": x.sum(1) * 1.1,
        },
        index=[f"cell{i}" for i in range(n)],
    )
    adata = ad.AnnData(sp.csr_matrix(x), obs=obs, var=pd.DataFrame(index=[f"gene{j}" for j in range(genes)]))
    adata.layers["counts"] = adata.X.copy()
    return adata


@pytest.fixture(scope="session")
def maker():
    """What makes cells, for tests that need several sets."""
    return make_adata


@pytest.fixture
def adata() -> ad.AnnData:
    return make_adata()


@pytest.fixture(scope="session")
def trained():
    """A small trained model; tests must not change it."""
    from qbmvae import QBMVAE

    data = make_adata()
    QBMVAE.setup_anndata(data, batch_key="batch", labels_key="cell_type")
    model = QBMVAE(data, n_latent=12, n_hidden=32)
    model.train(max_epochs=8, seed=0, progress_bar=False, num_chains=128)
    return model
