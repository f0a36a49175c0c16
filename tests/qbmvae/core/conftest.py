"""All states of small priors: the oracle of these tests."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor


def states(n: int) -> Tensor:
    """Return all codes, `(2**n, n)` float64 in {0, 1}."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


def posterior(logits: Tensor) -> Tensor:
    """Return q(z) of every code under independent bits, `(2**n,)`."""
    z = states(len(logits))
    return torch.exp((z * logits - torch.nn.functional.softplus(logits)).sum(-1))


@pytest.fixture(scope="session")
def enumeration() -> SimpleNamespace:
    """`states(n)` and `posterior(logits)`."""
    return SimpleNamespace(states=states, posterior=posterior)
