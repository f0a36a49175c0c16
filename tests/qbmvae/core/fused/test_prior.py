"""The prior's kernels against float64 autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qbmvae.core.fused import prior as kernels
from qbmvae.core.priors.base import entropy
from qbmvae.core.priors.boltzmann import BoltzmannPrior
from samplers import InputError
from samplers.problem import Ising


def _prior(n: int, seed: int = 0) -> BoltzmannPrior:
    torch.manual_seed(seed)
    prior = BoltzmannPrior(n)
    couplings = torch.randn(n, n)
    prior.W.data.copy_((couplings + couplings.T) * prior.mask)
    prior.bias.data.normal_()
    return prior


def test_gradients_of_kl_and_log_z():
    n, bits, share, weight, pull = 30, 37, 0.02, 0.6, 0.3
    prior = _prior(bits)
    logits, slope, grad_spins, gaps = (
        torch.randn(n, bits),
        torch.rand(n, bits),
        torch.randn(n, bits),
        torch.randn(3, bits),
    )
    batch = np.random.default_rng(0).integers(3, size=n)
    states = 2 * torch.randint(2, (50, bits), dtype=torch.int8) - 1
    weights = torch.rand(50)
    weights /= weights.sum()
    first, second = prior.moments(states, weights)

    q = torch.sigmoid(logits)
    back, dbias, dW = torch.empty(n, bits), torch.empty(bits), torch.empty(bits, bits)
    bias, W = prior.bias.detach(), prior.W.detach()
    kl = kernels.code_gradient(
        logits.numpy(), slope.numpy(), q.numpy(), (q @ W).numpy(), bias.numpy(), entropy(logits).numpy(),
        grad_spins.numpy(), gaps.numpy(), batch, np.float32(share), np.float32(pull), back.numpy(), dbias.numpy(),
    )  # fmt: skip
    value = kernels.prior_gradient(
        first.numpy(), second.numpy(), (q.T @ q).numpy(), np.float32(share), np.float32(weight), bias.numpy(),
        W.numpy(), prior.mask.numpy(), dbias.numpy(), dW.numpy(),
    )  # fmt: skip

    wide = _prior(bits).double()
    a = logits.double().requires_grad_()
    cells = wide.expected_energy(torch.sigmoid(a), a) - entropy(a)
    surrogate = wide.negative_energy_moments(states.double(), weights.double())
    pushed = (pull * gaps.double()[batch] * torch.sigmoid(a)).sum() + (grad_spins * slope).double().mul(a).sum()
    (share * cells.sum() + weight * surrogate + pushed).backward()
    assert kl == pytest.approx(float(cells.sum().detach()), rel=1e-5)
    assert value == pytest.approx(float(surrogate.detach()), rel=1e-5)
    for mine, theirs in ((back, a.grad), (dbias, wide.bias.grad), (dW, wide.W.grad)):
        assert (mine.double() - theirs).norm() < 1e-6 * theirs.norm()


def test_problem_is_that_of_the_binary_form():
    prior = _prior(45)
    bias, W = prior.bias.detach().double().numpy(), prior.W.detach().double().numpy()
    mine, theirs = prior.problem(), Ising.from_binary(bias, W)
    np.testing.assert_allclose(mine.h, theirs.h, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mine.dense, theirs.dense, rtol=1e-12, atol=1e-12)
    assert mine.offset == pytest.approx(theirs.offset, rel=1e-12)
    assert mine.layout == "dense"


@pytest.mark.parametrize(("place", "value", "words"), [((2, 3), float("nan"), "nan"), ((1, 1), 0.5, "itself")])
def test_a_broken_prior_is_named(place, value, words):
    prior = _prior(6)
    prior.W.data[place] = value
    with pytest.raises(InputError, match=words):
        prior.problem()
