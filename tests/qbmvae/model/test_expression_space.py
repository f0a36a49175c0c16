from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from qbmvae import QBMVAE
from qbmvae.core.networks import Covariates
from qbmvae.model.expression_space import decoded, principal_components


def expression(model, batch):
    vae = model.module.vae
    q = torch.from_numpy(model.get_latent_representation(representation="probabilities"))
    codes = torch.full((len(q),), batch)
    with torch.inference_mode():
        return torch.log1p(1e4 * vae.scale(vae.decode_logits(q, Covariates((codes,)))[0])).numpy()


def test_coordinates_are_those_of_a_full_decomposition(trained):
    from sklearn.decomposition import PCA

    z = trained.get_latent_representation()
    q = torch.from_numpy(trained.get_latent_representation(representation="probabilities"))
    whole = decoded(trained.module.vae, q, trained.module.averaged_categories.tolist(), "cpu").numpy()
    oracle = PCA(z.shape[1], svd_solver="full").fit(whole[trained.train_indices])
    np.testing.assert_allclose(trained.module.expression_mean, oracle.mean_, atol=1e-4)
    # the leading axes; the last ones of a randomised decomposition are rough
    theirs = oracle.transform(whole)[:, :4]
    for own, other in zip(z.T[:4], theirs.T, strict=True):
        assert abs(np.corrcoef(own, other)[0, 1]) > 0.999
    assert np.corrcoef(pdist(z), pdist(oracle.transform(whole)))[0, 1] > 0.999


def test_the_averaged_batch_lies_between_the_batches(trained):
    q = torch.from_numpy(trained.get_latent_representation(representation="probabilities"))
    vae = trained.module.vae
    middle = decoded(vae, q, vae.n_categories, "cpu").numpy()
    first, second = expression(trained, 0), expression(trained, 1)
    mean = (first + second) / 2
    assert np.abs(middle - mean).mean() < 0.2 * np.abs(first - second).mean()
    np.testing.assert_allclose(decoded(vae, q, (1,), "cpu"), first, atol=1e-4)


def test_a_cell_has_the_same_coordinates_in_any_company(trained, adata):
    z = trained.get_latent_representation()
    np.testing.assert_allclose(trained.get_latent_representation(adata[20:35].copy()), z[20:35], atol=1e-4)
    np.testing.assert_array_equal(trained.get_latent_representation(n_components=3), z[:, :3])


def test_a_query_leaves_the_reference_where_it_was(trained, adata):
    query = adata[:60].copy()
    query.obs["batch"] = "new"
    QBMVAE.prepare_query_anndata(query, trained)
    mapped = QBMVAE.load_query_data(query, trained)
    mapped.train(max_epochs=2, progress_bar=False)
    own = adata[60:120].copy()
    np.testing.assert_allclose(
        mapped.get_latent_representation(own), trained.get_latent_representation(own.copy()), atol=1e-4
    )


@pytest.mark.parametrize("shape", [(3, 10), (40, 2), (1, 5)])
def test_few_cells_or_genes_leave_zero_components(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    mean, components = principal_components(x, 6)
    assert mean.shape == (shape[1],) and components.shape == (6, shape[1])
    assert not components[min(shape) :].any() and components.isfinite().all()
