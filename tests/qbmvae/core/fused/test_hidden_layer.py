"""The fused hidden layer against float64 autograd of linear, BatchNorm1d, ReLU and the same dropout mask."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn
from torch.nn import functional as F

from qbmvae.core.csr import take_rows
from qbmvae.core.fused.hidden_layer import hidden_layer
from qbmvae.core.networks import ConditionalLinear, Covariates, Hidden


def _mask(n: int, width: int, rate: float, seed: int) -> torch.Tensor:
    """Return the mask that a seed gives: with scale 0 and shift 1 it is the layer's output."""
    norm = nn.BatchNorm1d(width)
    nn.init.zeros_(norm.weight)
    nn.init.ones_(norm.bias)
    torch.manual_seed(seed)
    layer = ConditionalLinear(3, width)
    design = layer.design(Covariates(()), n)
    torch.manual_seed(seed)
    return hidden_layer(
        torch.randn(n, 3, generator=torch.Generator()), layer.weight, layer.table(), design, norm, rate
    ).detach()


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("sparse", [False, True])
def test_equals_float64_autograd(rate, sparse):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    n, n_in, width = 50, 30, 70
    m = sp.random(n, n_in, 0.3, format="csr", random_state=1, dtype=np.float32)
    x = torch.tensor(m.toarray())
    covariates = Covariates((torch.from_numpy(rng.integers(4, size=n)),), torch.randn(n, 1))
    layer, norm = ConditionalLinear(n_in, width, (4,), 1), nn.BatchNorm1d(width, momentum=0.01, eps=0.001)
    for parameter in (*layer.parameters(), *norm.parameters()):
        nn.init.normal_(parameter)
    given = take_rows(m.indptr, m.indices, m.data, np.arange(n), n_in) if sparse else x.clone().requires_grad_()
    torch.manual_seed(7)
    out = hidden_layer(given, layer.weight, layer.table(), layer.design(covariates, n), norm, rate)
    push = torch.randn(n, width)
    out.backward(push)
    mine = [p.grad.clone() for p in (*layer.parameters(), *norm.parameters())]
    statistics = [norm.running_mean.clone(), norm.running_var.clone()]

    wide, wide_norm = layer.double(), nn.BatchNorm1d(width, momentum=0.01, eps=0.001).double()
    wide_norm.load_state_dict(
        {**norm.state_dict(), "running_mean": torch.zeros(width), "running_var": torch.ones(width)}
    )
    wide.zero_grad()
    x64 = x.double().requires_grad_()
    c64 = Covariates(covariates.categories, covariates.continuous.double())
    expected = F.relu(wide_norm(wide(x64, c64))) * _mask(n, width, rate, 7).double()
    expected.backward(push.double())
    theirs = [p.grad for p in (*wide.parameters(), *wide_norm.parameters())]
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-5)
    if not sparse:
        mine, theirs = [*mine, given.grad], [*theirs, x64.grad]
    # the bias cancels in the normalisation: its gradient is zero but for rounding
    size = max(float(t.norm()) for t in theirs)
    for a, b in zip(mine, theirs, strict=True):
        assert (a.double() - b).norm() < 5e-6 * max(float(b.norm()), 0.1 * size)
    for a, b in zip(statistics, (wide_norm.running_mean, wide_norm.running_var), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-7)


def test_dropout_keeps_the_share_it_says_and_rows_differ():
    mask = _mask(4000, 100, 0.3, 0)
    kept = (mask > 0).double()
    assert mask.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    # 400,000 draws: 4 standard errors of a column's and of the whole mean
    assert abs(kept.mean() - 0.7) < 4 * (0.21 / kept.numel()) ** 0.5
    assert (kept.mean(0) - 0.7).abs().max() < 4.5 * (0.21 / 4000) ** 0.5
    correlation = torch.corrcoef(kept.T) - torch.eye(100)
    assert correlation.abs().max() < 5 / 4000**0.5


def test_evaluation_and_other_normalisations_take_the_plain_path():
    torch.manual_seed(0)
    x, none = torch.randn(6, 5), Covariates(())
    network = Hidden(5, 8, 2, (), 0, 0.0, "batch").eval()
    before = network.norms[0].running_mean.clone()
    expected = x
    for layer, norm in zip(network.layers, network.norms, strict=True):
        expected = F.relu(norm(expected @ layer.weight + layer.bias))
    torch.testing.assert_close(network(x, none), expected)
    assert torch.equal(network.norms[0].running_mean, before)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("seen", ["none", "several", "averaged"])
def test_evaluation_equals_the_modules_in_float64(seen, sparse):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    n, n_in = 40, 30
    m = sp.random(n, n_in, 0.3, format="csr", random_state=1, dtype=np.float32)
    given = take_rows(m.indptr, m.indices, m.data, np.arange(n), n_in) if sparse else torch.tensor(m.toarray())
    covariates = Covariates(tuple(torch.from_numpy(rng.integers(k, size=n)) for k in (4, 1, 3)), torch.randn(n, 2))
    net = Hidden(n_in, 24, 2, () if seen == "none" else (4, 1, 3), 0 if seen == "none" else 2, 0.0, "batch").eval()
    for norm in net.norms:
        nn.init.uniform_(norm.running_mean, -1, 1)
        nn.init.uniform_(norm.running_var, 0.5, 2)
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    if seen == "averaged":
        covariates = Covariates((), averaged=(4, 1, 3))
    with torch.no_grad():
        found = net(given, covariates)
    x, net = torch.tensor(m.toarray(), dtype=torch.float64), net.double()
    covariates.continuous = None if covariates.continuous is None else covariates.continuous.double()
    for layer, norm in zip(net.layers, net.norms, strict=True):
        x = F.relu(norm(x @ layer.weight + layer.shift(covariates)))
    torch.testing.assert_close(found.double(), x.detach(), rtol=1e-4, atol=1e-3)
