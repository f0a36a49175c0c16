"""Straight-through bits in one pass against float64 autograd of the plain functions with the same noise."""

from __future__ import annotations

import numpy as np
import torch

from qbmvae.core.fused.bits import straight_through
from qbmvae.core.priors.base import entropy


def _uniform(n: int, width: int, seed: int) -> torch.Tensor:
    """Return the noise of a seed, from the slope of the relaxation at logits 0 and temperature 1: u (1 - u)."""
    logits = torch.zeros(n, width, requires_grad=True)
    torch.manual_seed(seed)
    bits, _, _ = straight_through(logits, 1.0)
    bits.sum().backward()
    root = torch.sqrt((0.25 - logits.grad.double()).clamp(min=0))
    return torch.where(bits.detach() > 0.5, 0.5 + root, 0.5 - root)


def test_equals_float64_autograd():
    torch.manual_seed(0)
    logits = (3 * torch.randn(30, 70)).requires_grad_()
    a, b, c = torch.randn(30, 70), torch.randn(30, 70), torch.randn(30)
    torch.manual_seed(5)
    bits, q, nats = straight_through(logits, 0.5)
    ((bits * a).sum() + (q * b).sum() + (nats * c).sum()).backward()

    wide = logits.detach().double().requires_grad_()
    u = _uniform(30, 70, 5)
    soft = torch.sigmoid((wide + torch.logit(u)) / 0.5)
    loss = (soft * a).sum() + (torch.sigmoid(wide) * b).sum() + (entropy(wide) * c).sum()
    loss.backward()
    torch.testing.assert_close(q.double(), torch.sigmoid(wide).detach(), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(nats.double(), entropy(wide).detach(), rtol=1e-5, atol=1e-5)
    sure = (soft - 0.5).abs() > 1e-3
    assert torch.equal(bits[sure], (soft > 0.5).float()[sure])
    # the noise is read back from a slope, exact to its square root's rounding
    assert (logits.grad.double() - wide.grad).norm() / wide.grad.norm() < 1e-3


def test_far_logits_stay_finite():
    logits = torch.tensor([[-200.0, -30.0, 30.0, 200.0]], requires_grad=True)
    bits, q, nats = straight_through(logits, 0.5)
    (bits.sum() + q.sum() + nats.sum()).backward()
    assert torch.isfinite(logits.grad).all()
    assert bits.tolist() == [[0, 0, 1, 1]]
    assert 0 < float(q[0, 1].detach()) < 1e-12
    assert float(nats.detach()) < 1e-10


def test_bits_have_the_probabilities():
    logits = torch.linspace(-3, 3, 50).repeat(20000, 1)
    torch.manual_seed(1)
    bits, q, _ = straight_through(logits, 0.5)
    error = (q[0] * (1 - q[0]) / 20000).sqrt()
    assert ((bits.mean(0) - q[0]).abs() / error).max() < 4.5
    correlation = np.corrcoef(bits.numpy().T) - np.eye(50)
    assert np.abs(correlation).max() < 5 / 20000**0.5
