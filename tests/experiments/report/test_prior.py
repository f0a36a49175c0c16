from __future__ import annotations

import numpy as np
import pytest

from experiments.data.synthetic import synthetic
from experiments.report.prior import bit_moments, bits_figure
from qbmvae import QBMVAE


@pytest.fixture(scope="module")
def model():
    cells = synthetic(n_cells=300, n_genes=60, seed=0)
    QBMVAE.setup_anndata(cells, batch_key="batch")
    model = QBMVAE(cells, n_latent=8, n_hidden=32, n_layers=1)
    model.train(max_epochs=40, batch_size=64, seed=0, progress_bar=False)
    model.refine_prior(seed=0) if hasattr(model, "refine_prior") else None
    return model


def test_the_picture_of_the_prior_compares_bits_with_bits(model):
    found = bit_moments(model, n_draws=20_000)
    q = model.get_latent_representation(representation="probabilities")
    np.testing.assert_allclose(found.cell_means, q.mean(axis=0), atol=1e-6)
    assert ((found.cell_means >= 0) & (found.cell_means <= 1)).all()
    # bits drawn cell by cell have these moments, up to the error of the draws
    bits = np.random.default_rng(0).uniform(size=(500, *q.shape)) < q
    drawn = np.cov(bits.reshape(-1, q.shape[1]).T)[np.triu_indices(q.shape[1], 1)]
    np.testing.assert_allclose(found.cell_covariances, drawn, atol=0.01)
    # a trained prior follows the encoded cells; anything else than the bits does not
    assert found.correlation > 0.5
    other = model.get_latent_representation()
    assert not np.allclose(other.mean(axis=0), found.cell_means, atol=0.1)
    assert "correlate by" in bits_figure(model)[0]["caption"]
