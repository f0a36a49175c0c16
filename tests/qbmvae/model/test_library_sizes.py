"""Depth and batch of generated cells go with their code, as in the data."""

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from scipy.stats import chisquare

from qbmvae import QBMVAE
from qbmvae.model.library_sizes import likely, training_like

NAMES = ["a", "b"]


def _planted(rng, n=4000, d=5):
    logits = rng.normal(scale=2, size=(n, d)).astype(np.float16)
    return logits, (np.arange(n) * 1.0 + 1, np.arange(n)[:, None] % 2, None, logits)


def test_a_cell_is_drawn_in_proportion_to_the_density_of_its_posterior():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(6, 4)).astype(np.float16)
    z = np.array([1, 0, 1, 1])
    q = 1 / (1 + np.exp(-logits.astype(float)))
    expected = np.prod(np.where(z, q, 1 - q), axis=1)
    counts = np.bincount(likely(np.tile(z, (30_000, 1)), logits, rng), minlength=6)
    assert chisquare(counts, 30_000 * expected / expected.sum()).pvalue > 1e-4


def test_continuous_codes_weigh_by_their_normal_density():
    rng = np.random.default_rng(1)
    location, log_variance = rng.normal(size=(5, 3)), rng.normal(scale=0.5, size=(5, 3))
    z = np.array([0.3, -0.2, 0.5])
    normal = torch.distributions.Normal(torch.tensor(location), torch.tensor(np.exp(log_variance / 2)) + 1e-4)
    expected = normal.log_prob(torch.tensor(z)).sum(1).exp().numpy()
    drawn = likely(np.tile(z, (30_000, 1)), np.hstack([location, log_variance]), rng)
    # half precision of what is kept does not matter here: float32 throughout
    assert chisquare(np.bincount(drawn, minlength=5), 30_000 * expected / expected.sum()).pvalue > 1e-4


def test_draws_of_the_posteriors_give_every_cell_its_share():
    # rows drawn given codes that were drawn given rows: the uniform distribution over rows is stationary
    rng = np.random.default_rng(2)
    logits, libraries = _planted(rng, n=40)
    rows = rng.integers(40, size=40_000)
    codes = rng.random((len(rows), 5)) < 1 / (1 + np.exp(-logits[rows].astype(float)))
    sizes, covariates, numbers = training_like(libraries, NAMES, codes, None, rng)
    assert chisquare(np.bincount(sizes.astype(int) - 1, minlength=40)).pvalue > 1e-4
    assert numbers is None and ((sizes - 1) % 2 == covariates[:, 0]).all()


def test_a_batch_keeps_to_its_cells_and_old_files_draw_all_alike():
    rng = np.random.default_rng(3)
    logits, libraries = _planted(rng)
    codes = np.ones((2000, 5))
    assert (training_like(libraries, NAMES, codes, "b", rng)[1] == 1).all()
    ones = logits.astype(float).mean(1)[training_like(libraries, NAMES, codes, "b", rng)[0].astype(int) - 1]
    old = training_like((*libraries[:3], None), NAMES, codes, "b", rng)
    assert (old[1] == 1).all()
    assert ones.mean() > 1 > logits.astype(float).mean(1)[old[0].astype(int) - 1].mean()


@pytest.mark.parametrize("prior", ["boltzmann", "gaussian"])
def test_planted_dependence_of_depth_and_batch_on_the_type_is_generated(prior):
    # two types, one four times as deep and nearly all of its cells in one batch
    rng = np.random.default_rng(0)
    kind = rng.integers(2, size=600)
    batch = np.where(rng.random(600) < 0.95, kind, 1 - kind)
    frequency = rng.dirichlet(np.ones(40), size=2)
    depth = np.where(kind, 2000, 500) * rng.lognormal(sigma=0.1, size=600)
    x = rng.poisson(depth[:, None] * frequency[kind]).astype(np.float32)
    obs = pd.DataFrame({"batch": np.array(NAMES)[batch]}, index=[f"c{i}" for i in range(600)])
    adata = AnnData(x, obs=obs)
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(adata, n_latent=6, n_hidden=32, prior=prior)
    model.train(max_epochs=15, seed=0, progress_bar=False, batch_size=64)
    made = model.generate(1000, seed=0)
    profile = made.X.toarray()
    own = (profile @ np.log(frequency[1] / frequency[0])) > 0
    assert 0.25 < own.mean() < 0.75
    ratio = np.median(made.obs["library_size"][own]) / np.median(made.obs["library_size"][~own])
    agreement = ((made.obs["batch"] == "b") == own).mean()
    # drawn apart from the codes they would be 1 and .5
    assert ratio > 3 and agreement > 0.85
    # what is asked for is not touched
    assert (model.generate(5, seed=0, library_size=300.0).obs["library_size"] == 300).all()


def test_the_kept_posteriors_are_those_of_the_last_training(tmp_path):
    rng = np.random.default_rng(0)
    adata = AnnData(rng.poisson(2.0, size=(80, 20)).astype(np.float32))
    QBMVAE.setup_anndata(adata)
    model = QBMVAE(adata, n_latent=4, n_hidden=16)
    settings = {"max_epochs": 2, "progress_bar": False, "on_epoch": lambda _: model.generate(5, seed=0)}
    model.train(seed=0, **settings)
    first = model._libraries()[3]
    expected = model.get_latent_representation(indices=np.sort(model.train_indices), representation="logits")
    np.testing.assert_allclose(first.astype(float), expected, rtol=2e-3, atol=1e-3)
    model.train(seed=1, **settings)
    assert not np.array_equal(model._libraries()[3], first)
    model.export(tmp_path / "m.safetensors")
    again = QBMVAE.from_export(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again._libraries()[3], model._libraries()[3])
    np.testing.assert_array_equal(again.generate(9, seed=1).X.toarray(), model.generate(9, seed=1).X.toarray())
