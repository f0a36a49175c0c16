from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal

from qbmvae.core.batch import Batch
from qbmvae.core.networks import Covariates
from qbmvae.core.priors import make
from qbmvae.core.vae import VAE


@pytest.mark.parametrize("name", ["gaussian", "gaussian-mixture"])
def test_density_integrates_to_one_and_matches_samples(name):
    torch.manual_seed(0)
    prior = make(name, 1, n_input=3)
    grid = torch.linspace(-15, 15, 20001)[:, None]
    mass = torch.trapezoid(prior.log_prob(grid).exp(), grid[:, 0])
    assert mass.item() == pytest.approx(1, abs=1e-3)
    draws = prior.sample(200_000, torch.Generator().manual_seed(1))
    mean = torch.trapezoid(prior.log_prob(grid).exp() * grid[:, 0], grid[:, 0])
    # six standard errors
    assert abs(draws.mean() - mean) < 6 * draws.std() / 200_000**0.5


def test_gaussian_kl_is_closed_form():
    prior = make("gaussian", 3, n_input=3)
    q = Normal(torch.randn(2, 3), torch.rand(2, 3) + 0.1)
    torch.testing.assert_close(
        prior.kl(q, q.sample()), torch.distributions.kl_divergence(q, Normal(0.0, 1.0)).sum(-1), rtol=1e-5, atol=1e-5
    )


def test_vamp_reads_its_components_off_the_encoder():
    torch.manual_seed(0)
    vae = VAE(7, (2,), n_latent=3, n_hidden=8, prior="vamp", n_components=5).eval()
    assert vae.prior.components().loc.shape == (5, 3)
    assert torch.isfinite(vae.prior.log_prob(torch.randn(4, 3))).all()
    # the encoder is not a child of the prior: its weights belong to the network's optimiser
    assert not any("encoder" in name for name, _ in vae.prior.named_parameters())


def statistics_of(network):
    return {name: value.clone() for name, value in network.named_buffers() if "running" in name}


def test_pseudo_inputs_leave_the_statistics_of_data_alone_and_are_normalised_by_them():
    """Else a network in training learns them as data, and cells are encoded by the statistics of both afterwards."""
    torch.manual_seed(0)
    vae = VAE(7, (2,), n_latent=3, n_hidden=8, prior="vamp", n_components=5).train()
    for module in vae.encoder.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.running_mean, std=0.1)
    before, in_training = statistics_of(vae), vae.prior.components()
    assert vae.encoder.training
    for name, value in statistics_of(vae).items():
        assert torch.equal(value, before[name]), name
    in_training.loc.sum().backward()
    assert vae.prior.pseudo_inputs.grad.abs().sum() > 0
    torch.testing.assert_close(in_training.loc, vae.eval().prior.components().loc)


def test_cells_decoded_in_another_batch_leave_the_statistics_of_data_alone():
    found = []
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        vae = VAE(7, (2,), n_latent=3, n_hidden=8, dropout_rate=0.0).train()
        x = torch.poisson(torch.full((40, 7), 3.0))
        batch = Batch(x, x.sum(1), Covariates((torch.arange(40) % 2,), None))
        torch.manual_seed(1)
        losses = vae.losses(batch, cycle_consistency=weight)
        found.append(statistics_of(vae))
    assert "cycle_consistency" in losses.penalties
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name
