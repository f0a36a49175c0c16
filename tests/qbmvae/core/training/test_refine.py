from __future__ import annotations

import numpy as np
import pytest
import torch

import samplers
from qbmvae.core.training.refine import refine
from qbmvae.core.vae import VAE
from samplers import InputError

N = 8
QUICK = {"steps": 300, "num_chains": 256, "num_checks": 3}


def _model(prior: str = "boltzmann", n: int = N, **options) -> VAE:
    torch.manual_seed(0)
    return VAE(12, n_latent=n, n_hidden=8, n_layers=1, prior=prior, **options)


def _planted(enumeration, count: int, seed: int) -> torch.Tensor:
    """Return nearly hard codes, as logits, of a machine with strong couplings."""
    generator = torch.Generator().manual_seed(3)
    W = torch.triu(torch.randn(N, N, generator=generator, dtype=torch.float64), 1) * 1.2
    z = enumeration.states(N)
    p = torch.softmax(((z @ W) * z).sum(1) + z @ torch.randn(N, generator=generator, dtype=torch.float64), 0)
    draw = torch.Generator().manual_seed(seed)
    rows = torch.multinomial(p, count, replacement=True, generator=draw)
    return (2 * z[rows].float() - 1) * 5.0


def _best_kl(enumeration, training: torch.Tensor) -> float:
    """Return the mean KL of the codes under the best quadratic machine, by enumeration and Newton-like descent."""
    z = enumeration.states(N)
    q = torch.sigmoid(training).double()
    first, second = q.mean(0), q.T @ q / len(q)
    upper = torch.triu_indices(N, N, 1)
    features = torch.cat([z, z[:, upper[0]] * z[:, upper[1]]], 1)
    target = torch.cat([first, second[upper[0], upper[1]]])
    theta = torch.zeros(features.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([theta], max_iter=500, tolerance_grad=1e-10)

    def loss():
        optimiser.zero_grad()
        value = torch.logsumexp(features @ theta, 0) - theta @ target
        value.backward()
        return value

    optimiser.step(loss)
    entropy = (torch.nn.functional.softplus(training) - training * torch.sigmoid(training)).sum(1).mean()
    return float(loss().detach()) - float(entropy)


def test_a_planted_machine_is_found(enumeration):
    vae = _model()
    training, held_out = _planted(enumeration, 4000, 0), _planted(enumeration, 4000, 1)
    found = refine(vae, training, held_out, samplers.get("persistent"), steps=800, seed=0)
    best = _best_kl(enumeration, training)
    # the fit to the training cells is the optimum, up to the chains' noise
    again = refine(vae, training, training, samplers.get("persistent"), steps=1, learning_rate=0.0, seed=0)
    assert again.kl_before == pytest.approx(best, abs=0.01)
    assert found.kl_after < found.kl_before - 1
    assert found.improvement == pytest.approx(found.kl_before - found.kl_after, abs=1e-6)
    assert 0 < found.improvement_error < 0.1
    assert found.step > 0


PRIORS = [
    ("boltzmann", {}),
    ("boltzmann", {"topology": "bipartite", "n_hidden_units": 6}),
    ("boltzmann", {"topology": "chimera"}),
    ("random-couplings", {}),
    ("bernoulli", {}),
    ("gaussian-mixture", {"n_components": 4}),
    ("vamp", {"n_components": 4}),
]


@pytest.mark.parametrize(("name", "options"), PRIORS)
def test_every_prior_that_has_something_to_learn_gets_better(enumeration, name, options):
    vae = _model(name, **options)
    training, held_out = _planted(enumeration, 600, 0), _planted(enumeration, 300, 1)
    if not vae.prior.discrete:
        training, held_out = (torch.cat([x, torch.zeros_like(x)], 1) for x in (training, held_out))
    rest = {k: v.clone() for k, v in vae.state_dict().items() if not k.startswith("prior.")}
    frozen = {k: p.clone() for k, p in vae.prior.named_parameters() if not p.requires_grad}
    found = refine(vae, training, held_out, samplers.get("persistent"), seed=0, **QUICK)
    assert found.improvement > 3 * found.improvement_error
    assert all(torch.equal(value, vae.state_dict()[k]) for k, value in rest.items())
    assert all(torch.equal(value, dict(vae.prior.named_parameters())[k]) for k, value in frozen.items())
    assert all(p.grad is None for p in vae.parameters())


@pytest.mark.parametrize("name", ["uniform", "gaussian"])
def test_a_prior_without_parameters_stays(enumeration, name):
    vae = _model(name)
    codes = _planted(enumeration, 50, 0)
    codes = codes if vae.prior.discrete else torch.cat([codes, codes], 1)
    found = refine(vae, codes, codes, samplers.get("persistent"), **QUICK)
    assert found.step == 0
    assert found.kl_before == found.kl_after
    assert found.improvement == 0


def test_hidden_units_reach_the_likelihood_of_their_own_enumeration(enumeration):
    vae = _model("boltzmann", topology="bipartite", n_hidden_units=6)
    training = _planted(enumeration, 2000, 0)
    found = refine(vae, training, training, samplers.get("exact"), steps=600, num_chains=256, seed=0)
    z = enumeration.states(N)
    log_p = torch.log_softmax(-vae.prior.double().energy(z), 0)
    q = torch.sigmoid(training).double()
    cross = sum(-(torch.exp((z * row.logit() + torch.log1p(-row)).sum(1)) * log_p).sum() for row in q[:200])
    entropy = -(q * q.log() + (1 - q) * (1 - q).log()).sum(1)[:200]
    exact = float(cross.detach()) / 200 - float(entropy.mean())
    # 200 of the 2,000 cells
    assert exact == pytest.approx(found.kl_after, abs=5 * found.kl_after_error * 10**0.5)


def test_the_same_seed_gives_the_same_prior(enumeration):
    training = _planted(enumeration, 300, 0)
    states = []
    for _ in range(2):
        vae = _model()
        refine(vae, training, training, samplers.get("persistent"), seed=5, **QUICK)
        states.append(vae.prior.state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_a_sampler_that_misleads_never_makes_it_worse(enumeration):
    vae = _model()
    training = _planted(enumeration, 500, 0)
    refine(vae, training, training, samplers.get("persistent"), steps=600, seed=0)
    before = {k: v.clone() for k, v in vae.prior.state_dict().items()}
    with pytest.warns(UserWarning, match="seeks low energies"):
        found = refine(vae, training, training, samplers.get("simulated-bifurcation"), steps=40, num_chains=64)
    assert found.kl_after <= found.kl_before
    if found.step == 0:
        assert all(torch.equal(before[k], vae.prior.state_dict()[k]) for k in before)


def test_few_cells_are_not_fitted_beyond_what_held_out_cells_gain(enumeration):
    vae = _model()
    few, many = _planted(enumeration, 12, 0), _planted(enumeration, 2000, 1)
    found = refine(vae, few, many, samplers.get("persistent"), steps=600, seed=0)
    assert found.kl_after < found.kl_before
    z = enumeration.states(N)
    log_z = torch.logsumexp(-vae.prior.double().energy(z), 0)
    q = torch.sigmoid(many).double()
    entropy = (torch.nn.functional.softplus(many) - many * torch.sigmoid(many)).sum(1).mean()
    kl = vae.prior.expected_energy(q, q).mean() - entropy + log_z
    assert float(kl.detach()) == pytest.approx(found.kl_after, abs=1e-4)


def test_no_cells_are_named():
    vae = _model()
    with pytest.raises(InputError, match="0 to fit, 3 held out"):
        refine(vae, torch.zeros(0, N), torch.zeros(3, N), samplers.get("persistent"))


def test_moments_are_those_of_all_codes():
    """The fit of one cell repeated is that cell's machine: means equal the code's probabilities."""
    vae = _model("bernoulli")
    codes = torch.from_numpy(np.random.default_rng(0).normal(size=(1, N)).astype(np.float32)).repeat(64, 1)
    refine(vae, codes, codes, samplers.get("persistent"), steps=800)
    torch.testing.assert_close(vae.prior.bias.detach(), codes[0], atol=0.02, rtol=0)
