"""The fused output layer and likelihoods against float64 autograd of the plain ones."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from qbmvae.core import likelihoods
from qbmvae.core.csr import take_rows
from qbmvae.core.fused import count_output as module
from qbmvae.core.fused import products
from qbmvae.core.fused.count_output import count_output
from qbmvae.core.networks import ConditionalLinear, Covariates


def _block(x: np.ndarray):
    m = sp.csr_matrix(x.astype(np.float32))
    return take_rows(m.indptr, m.indices, m.data, np.arange(len(x)), x.shape[1])


def _reference(hidden, layers, covariates, log_theta, library, x, rows):
    mean = library[:, None] * torch.softmax(layers[0](hidden, covariates), -1)
    if len(layers) == 1:
        return likelihoods.negative_binomial(x, mean, log_theta[rows]).sum(1)
    dropout = layers[1](hidden, covariates)
    return likelihoods.zero_inflated_negative_binomial(x, mean, log_theta[rows], dropout).sum(1)


@pytest.mark.parametrize("heads", [1, 2], ids=["nb", "zinb"])
@pytest.mark.parametrize(("high", "low", "top"), [(0.5, -3, 3), (20, -2, 2), (2000, -1, 3), (1, 6, 12), (1, -8, -5)])
def test_equals_float64_autograd(monkeypatch, heads, high, low, top):
    monkeypatch.setattr(module, "CHUNK", 16)  # several chunks, the last one short
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    n, genes = 40, 170
    x = rng.poisson(high * rng.gamma(0.3, 1.0, size=(n, genes))).astype(np.float32)
    x[:, 0] += 1
    covariates = Covariates(
        (torch.from_numpy(rng.integers(3, size=n)), torch.zeros(n, dtype=torch.long)), torch.randn(n, 2)
    )
    layers = [ConditionalLinear(12, genes, (3, 1), 2) for _ in range(heads)]
    for layer in layers:
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter)
    hidden = torch.randn(n, 12, requires_grad=True)
    log_theta = torch.tensor(rng.uniform(low, top, size=(2, genes)), dtype=torch.float32, requires_grad=True)
    library, rows = torch.tensor(x.sum(1)), rng.integers(2, size=n)
    total, cells = count_output(
        hidden, [(layer.weight, layer.table()) for layer in layers], layers[0].design(covariates, n), log_theta, library,
        _block(x), rows, -1 / n,
    )  # fmt: skip
    (3 * total).backward()
    mine = [
        hidden.grad,
        log_theta.grad,
        *(p.grad for layer in layers for p in layer.parameters() if p.grad is not None),
    ]

    wide = [layer.double() for layer in layers]
    for layer in wide:
        layer.zero_grad()
    h64 = hidden.detach().double().requires_grad_()
    t64 = log_theta.detach().double().requires_grad_()
    c64 = Covariates(covariates.categories, covariates.continuous.double())
    expected = _reference(h64, wide, c64, t64, library.double(), torch.tensor(x).double(), torch.from_numpy(rows))
    (-3 * expected.mean()).backward()
    theirs = [h64.grad, t64.grad, *(p.grad for layer in wide for p in layer.parameters() if p.grad is not None)]
    torch.testing.assert_close(cells.double(), expected.detach(), rtol=2e-5, atol=1e-3)
    torch.testing.assert_close(total.detach().double(), -expected.mean().detach(), rtol=2e-5, atol=1e-3)
    assert len(mine) == len(theirs) == 2 + 4 * heads
    for a, b in zip(mine, theirs, strict=True):
        error = (a.double() - b).norm() / b.norm()
        assert error < 5e-6, error


@pytest.mark.parametrize("fast", [False, True], ids=["torch rounds", "rounded here"])
def test_rounded_inputs_move_values_and_gradients_little(monkeypatch, fast):
    monkeypatch.setattr(products, "rounds_fast", lambda: fast and products.through_onednn())
    monkeypatch.setattr(module, "CHUNK", 16)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x, weight, hidden = rng.poisson(2.0, size=(40, 170)).astype(np.float32), torch.randn(12, 170), torch.randn(40, 12)
    layer = ConditionalLinear(12, 170, (1,), 0)
    design = layer.design(Covariates((torch.zeros(40, dtype=torch.long),), torch.zeros(40, 0)), 40)
    found = []
    for precision in ("highest", "medium"):
        leaves = [t.clone().requires_grad_() for t in (hidden, torch.zeros(1, 170), weight, layer.table().detach())]
        with products.arithmetic(precision):
            total, cells = count_output(
                leaves[0], [(leaves[2], leaves[3])], design, leaves[1], torch.tensor(x.sum(1)), _block(x),
                np.zeros(40, dtype=np.int64),
            )  # fmt: skip
            total.backward()
        found.append([cells, *(leaf.grad for leaf in leaves)])
    for exact, rounded in zip(*found, strict=True):
        assert (exact - rounded).norm() < 1e-2 * exact.norm()


@pytest.mark.parametrize("heads", [1, 2])
def test_a_cell_without_counts_stays_finite(heads):
    hidden = torch.zeros(2, 3, requires_grad=True)
    parts = [(torch.zeros(3, 5, requires_grad=True), torch.zeros(1, 5, requires_grad=True)) for _ in range(heads)]
    design = ConditionalLinear(3, 5).design(Covariates(()), 2)
    total, _ = count_output(
        hidden,
        parts,
        design,
        torch.zeros(1, 5),
        torch.tensor([0.5, 3.0]),
        _block(np.zeros((2, 5))),
        np.zeros(2, dtype=np.int64),
    )
    total.backward()
    assert torch.isfinite(hidden.grad).all()
    assert all(torch.isfinite(t.grad).all() for part in parts for t in part)


def test_without_gradients_the_value_is_the_same():
    rng = np.random.default_rng(1)
    x = rng.poisson(1.0, size=(9, 20))
    weight, table = torch.randn(4, 20, requires_grad=True), torch.zeros(1, 20)
    arguments = (
        torch.randn(9, 4), [(weight, table)], ConditionalLinear(4, 20).design(Covariates(()), 9), torch.zeros(1, 20),
        torch.tensor(x.sum(1), dtype=torch.float32), _block(x), np.zeros(9, dtype=np.int64),
    )  # fmt: skip
    with torch.no_grad():
        without = count_output(*arguments)[1]
    assert torch.equal(without, count_output(*arguments)[1])
