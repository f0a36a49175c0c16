"""The paths that run on accelerators alone, on torch's "meta" device: every operation and every shape, no numbers."""

from __future__ import annotations

import pytest
import torch

from qbmvae.core.fused.products import linear, mm
from qbmvae.core.networks import Covariates
from qbmvae.core.vae import VAE, Batch
from qbmvae.core.workers import threads

N, GENES = 6, 11


@pytest.fixture(autouse=True)
def unchecked():
    """Distributions look at the values of their parameters, and "meta" has none."""
    torch.distributions.Distribution.set_default_validate_args(False)
    yield
    torch.distributions.Distribution.set_default_validate_args(True)


def batch_on(device):
    counts = torch.ones(N, GENES, device=device)
    codes = torch.zeros(N, dtype=torch.long, device=device)
    return Batch(counts, counts.sum(1), Covariates((codes,)))


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson", "gaussian"])
@pytest.mark.parametrize("prior", ["boltzmann", "gaussian-mixture"])
@pytest.mark.parametrize("dispersion", ["gene", "gene-batch"])
def test_a_step_of_training(likelihood, prior, dispersion):
    vae = VAE(GENES, (2,), n_latent=5, n_hidden=8, gene_likelihood=likelihood, prior=prior, dispersion=dispersion).to(
        "meta"
    )
    vae.train()
    # the penalty on batches counts cells, which "meta" does not know
    losses = vae.losses(batch_on("meta"), 0.0, 1.0)
    assert losses.total.device.type == "meta" and losses.total.shape == ()
    losses.total.backward()
    missing = [name for name, p in vae.named_parameters() if p.requires_grad and p.grad is None]
    # nothing of log Z is in this objective, and no penalty of a Poisson's dispersion
    assert all(name.startswith("prior") for name in missing), missing
    assert all(p.grad.shape == p.shape for p in vae.parameters() if p.grad is not None)


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson", "gaussian"])
def test_encoding_and_decoding_in_evaluation(likelihood):
    vae = VAE(GENES, (2,), n_latent=5, n_hidden=8, gene_likelihood=likelihood).to("meta").eval()
    batch = batch_on("meta")
    with torch.no_grad():
        logits = vae.encode(batch.x, batch.covariates)
        own, hidden = vae.decode_logits(vae.code(logits), batch.covariates)
        middle, _ = vae.decode_logits(vae.code(logits), Covariates((), averaged=(2,)))
    assert logits.shape == (N, 5) and own.shape == middle.shape == (N, GENES) and hidden.shape == (N, 8)
    assert {t.device.type for t in (logits, own, middle, hidden)} == {"meta"}


def test_products_and_threads():
    a, b, bias = (torch.ones(shape, device="meta") for shape in ((3, 4), (4, 5), (5,)))
    assert mm(a, b).shape == linear(a, b, bias).shape == linear(a, b, bias, relu=True).shape == (3, 5)
    assert threads("meta") == 1
