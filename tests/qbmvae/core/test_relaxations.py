"""Bias and variance of every estimator against the exact gradient, by enumeration at n = 8."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qbmvae.core import relaxations
from samplers import InputError

N, REPEATS = 8, 20_000


def _loss(z: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    a = torch.randn(N, 6, generator=generator, dtype=z.dtype)
    target = torch.randn(6, generator=generator, dtype=z.dtype)
    return (torch.tanh((2 * z - 1) @ a / 2) - target).square().sum(-1)


@pytest.fixture(scope="module")
def exact(enumeration) -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.linspace(-1.5, 1.5, N, dtype=torch.float64, requires_grad=True)
    value = (enumeration.posterior(logits) * _loss(enumeration.states(N))).sum()
    return logits.detach(), torch.autograd.grad(value, logits)[0]


def _gradients(estimator: str, logits: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(0)
    many = logits.expand(REPEATS, N).clone().requires_grad_(True)
    if estimator == "disarm":
        z1, z2 = relaxations.antithetic(many)
        return relaxations.disarm_gradient(many, z1, z2, _loss(z1), _loss(z2)).detach()
    return torch.autograd.grad(_loss(relaxations.sample(many, estimator)).sum(), many)[0]


def test_disarm_is_unbiased(exact):
    logits, gradient = exact
    samples = _gradients("disarm", logits)
    error = samples.std(0) / REPEATS**0.5
    assert ((samples.mean(0) - gradient).abs() < 5 * error).all()


# relative bias measured once at these settings, with a margin; a wrong sign or factor lands above 1
@pytest.mark.parametrize(
    ("estimator", "bias"),
    [("straight-through", 0.6), ("gumbolt", 0.6), ("reinmax", 0.6), ("overlapping-exponential", 0.7)],
)
def test_biased_estimators_point_the_right_way(exact, estimator, bias):
    logits, gradient = exact
    samples = _gradients(estimator, logits)
    mean = samples.mean(0)
    assert torch.cosine_similarity(mean, gradient, dim=0) > 0.85
    assert (mean - gradient).norm() / gradient.norm() < bias
    # what the bias buys: less variance than the unbiased estimator
    if estimator != "overlapping-exponential":
        assert samples.var(0).sum() < 3 * _gradients("disarm", logits).var(0).sum()


@pytest.mark.parametrize("estimator", ["straight-through", "reinmax"])
def test_forward_values_are_bits_with_the_right_mean(estimator):
    torch.manual_seed(0)
    logits = torch.linspace(-2, 2, N).expand(40_000, N)
    z = relaxations.sample(logits, estimator)
    assert set(z.unique().tolist()) <= {0.0, 1.0}
    q = torch.sigmoid(logits[0])
    assert ((z.mean(0) - q).abs() < 5 * (q * (1 - q) / 40_000).sqrt()).all()


@pytest.mark.parametrize("estimator", ["spike-exponential", "overlapping-exponential"])
def test_smoothings_follow_their_distribution(estimator):
    """The empirical CDF against the mixture's, by Kolmogorov's bound (p about 1e-6)."""
    torch.manual_seed(0)
    q, n, beta = 0.3, 100_000, relaxations.DEFAULTS[estimator]
    logits = torch.full((n,), float(np.log(q / (1 - q))), dtype=torch.float64)
    zeta = np.sort(relaxations.sample(logits, estimator).numpy())
    grid = np.linspace(0.001, 0.999, 300)
    if estimator == "spike-exponential":
        cdf = (1 - q) + q * np.expm1(beta * grid) / np.expm1(beta)
    else:
        low = np.exp(-beta)
        cdf = (1 - q) * (1 - np.exp(-beta * grid)) / (1 - low) + q * (np.exp(beta * (grid - 1)) - low) / (1 - low)
    empirical = np.searchsorted(zeta, grid, side="right") / n
    assert np.abs(empirical - cdf).max() < 2.7 / np.sqrt(n)


def test_unknown_estimator_is_named():
    with pytest.raises(InputError, match="reinmax"):
        relaxations.check("reinmx")
