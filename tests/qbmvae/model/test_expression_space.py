from __future__ import annotations

import copy

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy import integrate, stats
from scipy.spatial.distance import pdist

from qbmvae import QBMVAE
from qbmvae.core.networks import Covariates
from qbmvae.core.vae import VAE, Batch
from qbmvae.data.memory_source import MemorySource
from qbmvae.model import cells
from qbmvae.model.expression_space import ExpressionSpace, principal_components


def space_of(model, categories=None):
    module = model.module
    averaged = module.averaged_categories.tolist() if categories is None else categories
    return ExpressionSpace(module.vae, averaged, float(module.expression_library), "cpu")


def probabilities(model):
    return torch.from_numpy(model.get_latent_representation(representation="probabilities"))


def expression(model, batch):
    vae, q = model.module.vae, probabilities(model)
    with torch.inference_mode():
        scale = vae.scale(vae.decode_logits(q, Covariates((torch.full((len(q),), batch),)))[0])
    theta = vae.log_dispersion.detach().exp()
    return (2 * theta.sqrt() * torch.asinh((float(model.module.expression_library) * scale / theta).sqrt())).numpy()


def test_coordinates_are_those_of_a_full_decomposition(trained):
    from sklearn.decomposition import PCA

    z = trained.get_latent_representation(representation="denoised")
    whole = space_of(trained).decoded(probabilities(trained)).numpy()
    oracle = PCA(z.shape[1], svd_solver="full").fit(whole[trained.train_indices])
    np.testing.assert_allclose(trained.module.expression_mean, oracle.mean_, atol=1e-4)
    # the leading axes; the last ones of a randomised decomposition are rough
    theirs = oracle.transform(whole)[:, :4]
    for own, other in zip(z.T[:4], theirs.T, strict=True):
        assert abs(np.corrcoef(own, other)[0, 1]) > 0.999
    assert np.corrcoef(pdist(z), pdist(oracle.transform(whole)))[0, 1] > 0.999


def test_the_averaged_batch_lies_between_the_batches(trained):
    q = probabilities(trained)
    middle = space_of(trained).decoded(q).numpy()
    first, second = expression(trained, 0), expression(trained, 1)
    mean = (first + second) / 2
    assert np.abs(middle - mean).mean() < 0.2 * np.abs(first - second).mean()
    np.testing.assert_allclose(space_of(trained, (1,)).decoded(q), first, atol=1e-4)


def small(likelihood, **options):
    torch.manual_seed(0)
    vae = VAE(5, (2,), n_latent=4, n_hidden=8, gene_likelihood=likelihood, prior="bernoulli", **options).eval()
    if likelihood != "poisson":
        torch.nn.init.normal_(vae.log_dispersion)
    counts = torch.tensor([[0.0, 1.0, 3.0, 40.0, 0.0], [7.0, 0.0, 0.0, 2.0, 11.0]])
    batch = Batch(counts, counts.sum(1), Covariates((torch.tensor([0, 1]),)))
    return vae, torch.rand(2, 4), batch


@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
@pytest.mark.parametrize("dispersion", ["gene", "gene-batch"])
def test_rates_are_the_posterior_means_of_the_gamma_poisson_mixture(likelihood, dispersion):
    vae, code, batch = small(likelihood, dispersion=dispersion)
    # one category averaged: what stands in front is batch 0's mean
    space = ExpressionSpace(vae, (1,), 100.0, "cpu")
    found = space.expected(code, batch).double().numpy()
    with torch.inference_mode():
        front = vae.scale(vae.decode_logits(code, Covariates((torch.zeros(2, dtype=torch.long),)))[0]).numpy()
        logits, hidden = vae.decode_logits(code, batch.covariates)
        mean = (batch.library[:, None] * vae.scale(logits)).double().numpy()
        theta = vae.log_dispersions(batch.covariates).exp().expand(2, -1).double().numpy()
        lost = (
            torch.sigmoid(vae.dropout_output(hidden, batch.covariates)).numpy()
            if likelihood == "zinb"
            else np.zeros((2, 5))
        )
        unit = vae.log_dispersion[:1].exp().double().numpy()[0]
    for i in range(2):
        for g in range(5):
            x, gamma = float(batch.x[i, g]), stats.gamma(theta[i, g], scale=mean[i, g] / theta[i, g])

            def weight(rate, x=x, gamma=gamma, lost=lost[i, g]):
                return ((1 - lost) * stats.poisson.pmf(x, rate) + lost * (x == 0)) * gamma.pdf(rate)

            # by quantiles of the prior: its density may be infinite at 0
            grid = gamma.ppf((np.arange(200_000) + 0.5) / 200_000)
            share = weight(grid) / gamma.pdf(grid)
            oracle = (share * grid).mean() / share.mean()
            rate = 100.0 * front[i, g] * oracle / mean[i, g]
            expected = 2 * np.sqrt(unit[g]) * np.arcsinh(np.sqrt(rate / unit[g]))
            assert found[i, g] == pytest.approx(expected, rel=5e-3)


def test_the_scale_is_the_distance_of_fisher_and_rao():
    vae, *_ = small("nb")
    space = ExpressionSpace(vae, (2,), 1.0, "cpu")
    low, high = torch.full((1, 5), 0.3), torch.full((1, 5), 25.0)
    found = (space._unit * (space._stabilise(high) - space._stabilise(low)))[0].detach().numpy()
    for theta, distance in zip(vae.log_dispersion.detach().exp()[0].tolist(), found, strict=True):
        # the negative binomial's Fisher information about its mean is 1 / (mu (1 + mu / theta))
        length = integrate.quad(lambda mu, theta=theta: 1 / np.sqrt(mu * (1 + mu / theta)), 0.3, 25.0)[0]
        assert distance == pytest.approx(length, rel=1e-4)


@pytest.mark.parametrize("likelihood", ["poisson", "gaussian"])
def test_likelihoods_without_a_rate_of_their_own_are_decoded(likelihood):
    vae, code, batch = small(likelihood)
    space = ExpressionSpace(vae, (2,), 10.0, "cpu")
    np.testing.assert_array_equal(space.expected(code, batch), space.decoded(code))


def test_counts_move_a_cell_along_its_own_expression(trained, adata):
    more = adata.copy()
    gene = int(np.asarray(more.X.sum(0)).ravel().argmax())
    x = more.X.toarray()
    x[:, gene] += 20
    more.X = x
    batch = next(iter(cells.batches(trained, more)))
    q = probabilities(trained)
    space = space_of(trained)
    moved = (space.expected(q, batch) - space.expected(q, next(iter(cells.batches(trained, adata))))).mean(0)
    assert int(moved.argmax()) == gene


def test_a_cell_has_the_same_coordinates_in_any_company(trained, adata):
    for representation in ("expression", "denoised"):
        z = trained.get_latent_representation(representation=representation)
        part = trained.get_latent_representation(adata[20:35].copy(), representation=representation)
        np.testing.assert_allclose(part, z[20:35], atol=1e-4)
        first = trained.get_latent_representation(representation=representation, n_components=3)
        np.testing.assert_array_equal(first, z[:, :3])
        bits = trained.get_latent_representation(representation="bits", n_components=3)
        assert bits.shape == z.shape, "components are those of expression space"
        assert trained.get_latent_representation(indices=[], representation=representation).shape == (0, z.shape[1])


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


def test_embeddings_while_training_goes_on_are_whole(adata):
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model, seen = QBMVAE(adata, n_latent=8, n_hidden=16), []

    def snapshot(_):
        seen.append(model.get_latent_representation())

    model.train(max_epochs=2, progress_bar=False, on_epoch=snapshot)
    assert [z.shape for z in seen] == [(adata.n_obs, 8)] * 2
    assert all(np.isfinite(z).all() and z.std() > 0 for z in seen)


@pytest.mark.parametrize("shape", [(3, 10), (40, 2), (1, 5)])
def test_few_cells_or_genes_leave_zero_components(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    mean, components = principal_components(x, 6)
    assert mean.shape == (shape[1],) and components.shape == (6, shape[1])
    assert not components[min(shape) :].any() and components.isfinite().all()


@pytest.mark.parametrize("likelihood", ["nb", "zinb"])
@pytest.mark.parametrize("dispersion", ["gene", "gene-batch"])
def test_the_fused_pass_says_what_torch_says(likelihood, dispersion):
    """Against the same formulas through torch, in float64."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    options = {"n_latent": 8, "n_hidden": 16, "gene_likelihood": likelihood, "dispersion": dispersion}
    vae = VAE(300, (3,), **options).eval()
    with torch.no_grad():
        # from overdispersed to near-Poisson genes, and far from uniform frequencies
        vae.log_dispersion.uniform_(-3, 9)
        vae.output.bias.normal_(0, 2)
        for rows in vae.output.rows:
            rows.normal_(0, 0.5)
    counts = sp.csr_matrix(rng.poisson(0.3, size=(700, 300)).astype(np.float32) + np.eye(700, 300, dtype=np.float32))
    source = MemorySource(counts, np.asarray(counts.sum(1)).ravel(), [rng.integers(3, size=700)])
    batch = source.take(np.arange(700))
    code = torch.rand(700, 8)
    exact = copy.deepcopy(vae).double()
    for weight in (1.0, 0.3):
        fused, plain = (ExpressionSpace(v, (3,), 500.0, "cpu") for v in (vae, exact))
        assert fused._fused and not plain._fused
        dense = Batch(batch.x.dense().double(), batch.library.double(), batch.covariates)
        for found, expected in (
            (fused.expected(code, batch, weight), plain.expected(code.double(), dense, weight)),
            (fused.decoded(code), plain.decoded(code.double())),
        ):
            assert found.shape == expected.shape == (700, 300)
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)
        mean, components = principal_components(fused.decoded(code), 5)
        for near in (None, batch):
            z = fused.coordinates(code, near, mean, components, weight)
            whole = fused.decoded(code) if near is None else fused.expected(code, near, weight)
            np.testing.assert_allclose(z, (whole - mean) @ components.T, atol=1e-3 * float(z.std()))
