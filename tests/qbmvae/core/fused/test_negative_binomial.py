"""The fused likelihood against float64 autograd of the plain one."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from qbmvae.core.csr import take_rows
from qbmvae.core.fused.negative_binomial import negative_binomial
from qbmvae.core.likelihoods import negative_binomial as reference


def _case(seed: int, n: int, genes: int, high: float, theta_low: float, theta_high: float, rows: int):
    rng = np.random.default_rng(seed)
    x = rng.poisson(high * rng.gamma(0.3, 1.0, size=(n, genes))).astype(np.float32)
    x[:, 0] += 1
    logits = rng.normal(size=(n, genes)).astype(np.float32) * 2
    log_theta = rng.uniform(theta_low, theta_high, size=(rows, genes)).astype(np.float32)
    library = x.sum(1)
    return x, logits, log_theta, library, rng.integers(rows, size=n)


@pytest.mark.parametrize(("high", "low", "top"), [(0.5, -3, 3), (20, -2, 2), (2000, -1, 3), (1, 6, 12), (1, -8, -5)])
def test_equals_float64_autograd(high, low, top):
    x, logits, log_theta, library, rows = _case(0, 30, 170, high, low, top, 2)
    a = torch.tensor(logits, requires_grad=True)
    t = torch.tensor(log_theta, requires_grad=True)
    m = sp.csr_matrix(x)
    block = take_rows(m.indptr, m.indices, m.data, np.arange(len(x)), x.shape[1])
    total, cells = negative_binomial(a, t, torch.tensor(library), block, rows)
    (total * 0.5).backward()

    a64 = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    t64 = torch.tensor(log_theta, dtype=torch.float64, requires_grad=True)
    mean = torch.tensor(library, dtype=torch.float64)[:, None] * torch.softmax(a64, -1)
    expected = reference(torch.tensor(x, dtype=torch.float64), mean, t64[torch.from_numpy(rows)]).sum(1)
    (expected.sum() * 0.5).backward()
    torch.testing.assert_close(cells.double(), expected.detach(), rtol=2e-5, atol=1e-3)
    for mine, theirs in ((a.grad, a64.grad), (t.grad, t64.grad)):
        error = (mine.double() - theirs).norm() / theirs.norm()
        assert error < 5e-6, error


def test_a_zero_library_gene_row_stays_finite():
    m = sp.csr_matrix(np.zeros((2, 5), dtype=np.float32))
    block = take_rows(m.indptr, m.indices, m.data, np.arange(2), 5)
    a = torch.zeros(2, 5, requires_grad=True)
    total, _ = negative_binomial(a, torch.zeros(1, 5), torch.tensor([0.5, 3.0]), block, np.zeros(2, dtype=np.int64))
    total.backward()
    assert torch.isfinite(a.grad).all()
