from __future__ import annotations

import numpy as np
import pytest
import torch

from qbmvae.core import priors
from qbmvae.core.priors.base import entropy


def _random(name: str, n: int, **options) -> priors.DiscretePrior:
    torch.manual_seed(0)
    prior = priors.make(name, n, n_input=5, **options).double()
    for parameter in prior.parameters():
        parameter.data.normal_(0, 0.7)
    if isinstance(prior, priors.BoltzmannPrior):
        prior.W.data = (prior.W.data + prior.W.data.T) / 2 * prior.mask
    return prior


PRIORS = [
    ("boltzmann", {}),
    ("boltzmann", {"topology": "bipartite", "n_hidden_units": 4}),
    ("bernoulli", {}),
    ("uniform", {}),
    ("random-couplings", {}),
]


@pytest.mark.parametrize(("name", "options"), PRIORS)
def test_problem_has_the_energies_and_log_z_of_the_prior(enumeration, name, options):
    prior = _random(name, 7, **options)
    z = enumeration.states(7)
    problem = prior.problem()
    log_p = torch.log_softmax(-prior.energy(z), 0)
    log_z = torch.logsumexp(-prior.energy(z), 0)
    full = enumeration.states(problem.n)
    energies = torch.from_numpy(problem.energies((2 * full - 1).numpy().astype(np.int8)))
    assert abs(torch.logsumexp(-energies, 0) - log_z) < 1e-10
    # hidden units, if any, are summed out; they come after the visible bits
    visible = torch.logsumexp(-energies.reshape(2**7, -1), 1) - log_z
    torch.testing.assert_close(visible, log_p.detach())
    if prior.log_partition() is not None:
        torch.testing.assert_close(prior.log_partition(), log_z)


def test_kl_and_its_gradient_equal_enumeration(enumeration):
    prior = _random("boltzmann", 8)
    logits = torch.randn(8, dtype=torch.float64, requires_grad=True)
    z = enumeration.states(8)

    def exact():
        q = enumeration.posterior(logits)
        return (q * (q.log() + prior.energy(z))).sum() + torch.logsumexp(-prior.energy(z), 0)

    def ours():
        q = torch.sigmoid(logits)
        return -entropy(logits) + prior.expected_energy(q, q) + torch.logsumexp(-prior.energy(z), 0)

    expected = torch.autograd.grad(exact(), [logits, *prior.parameters()])
    result = torch.autograd.grad(ours(), [logits, *prior.parameters()])
    torch.testing.assert_close(ours(), exact(), rtol=1e-8, atol=1e-8)
    for mine, theirs in zip(result, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-8)
    # the projection keeps W symmetric with a zero diagonal
    assert torch.equal(result[-1], result[-1].T)
    assert not result[-1].diagonal().any()


@pytest.mark.parametrize(("name", "options"), [p for p in PRIORS if p[0] == "boltzmann"])
def test_negative_phase_with_exact_weights_has_the_gradient_of_log_z(enumeration, name, options):
    """Every state, weighted by its probability, in the place of samples: the surrogate's gradient must be exact."""
    prior = _random(name, 6, **options)
    z = enumeration.states(6)
    log_z = torch.logsumexp(-prior.energy(z), 0)
    expected = torch.autograd.grad(log_z, list(prior.parameters()))
    weights = torch.softmax(-prior.energy(z), 0).detach()
    spins = 2 * z - 1
    if prior.problem().n > 6:
        spins = torch.cat([spins, torch.ones(len(z), prior.problem().n - 6)], 1)
    result = torch.autograd.grad(prior.negative_energy_moments(spins, weights), list(prior.parameters()))
    for mine, theirs in zip(result, expected, strict=True):
        # a frozen diagonal has no gradient in either
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-9)


def test_rao_blackwell_moments_vary_less_than_plain_ones(enumeration):
    """SCIENCE: the variance falls 6 to 8 fold at weak coupling; a factor 3 leaves room for the sampling error."""
    prior = _random("boltzmann", 8)
    prior.W.data.mul_(0.3)
    z = enumeration.states(8)
    p = torch.softmax(-prior.energy(z), 0).detach()
    exact = (p[:, None] * z).T @ z
    generator = torch.Generator().manual_seed(0)
    plain, smooth = [], []
    for _ in range(400):
        pick = z[torch.multinomial(p, 64, replacement=True, generator=generator)]
        w = torch.full((64,), 1 / 64, dtype=torch.float64)
        surrogate = prior.negative_energy_moments(2 * pick - 1, w)
        # W enters with factor 1/2: the gradient is half the second moment
        smooth.append(2 * torch.autograd.grad(surrogate, prior.W)[0])
        plain.append(pick.T @ pick / 64)
    off = ~torch.eye(8, dtype=torch.bool)
    mean = torch.stack(smooth).mean(0)[off]
    error = torch.stack(smooth).std(0)[off] / 20
    assert ((mean - exact[off]).abs() < 5 * error).all()
    ratio = torch.stack(plain).var(0)[off].mean() / torch.stack(smooth).var(0)[off].mean()
    assert ratio > 3


def test_entropy_keeps_a_finite_gradient_where_probabilities_round_to_one():
    logits = torch.tensor([[200.0, -200.0, 0.0, 20.0]], requires_grad=True)
    entropy(logits).sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert entropy(torch.zeros(1, 4)).item() == pytest.approx(4 * np.log(2))
