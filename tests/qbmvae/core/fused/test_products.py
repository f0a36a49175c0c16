from __future__ import annotations

import pytest
import torch

from qbmvae.core.fused import products

SHAPES = [(1, 1, 1), (7, 5, 3), (128, 128, 2000), (2000, 64, 128), (33, 513, 17)]


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize(("n", "k", "m"), SHAPES)
def test_products_are_exact_in_any_layout(monkeypatch, onednn, n, k, m):
    if onednn and not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        # this build of torch has no oneDNN: the other library is what runs
        onednn = False
    monkeypatch.setattr(products, "through_onednn", lambda: onednn)
    torch.manual_seed(0)
    a, b = torch.randn(n, k), torch.randn(k, m)
    exact = (a.double() @ b.double()).float()
    tolerance = 1e-6 * k**0.5
    for left in (a, a.T.contiguous().T, torch.cat([a, a], 1)[:, :k]):
        for right in (b, b.T.contiguous().T):
            torch.testing.assert_close(products.mm(left, right), exact, atol=tolerance, rtol=1e-5)
    assert torch.equal(products.mm(a, b), products.mm(a.clone(), b.clone())), "the same bits wherever the numbers lie"


def test_other_types_and_empty_matrices_are_multiplied_too():
    a, b = torch.randn(3, 4, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    assert torch.equal(products.mm(a, b), a @ b)
    assert products.mm(torch.zeros(0, 4), torch.zeros(4, 5)).shape == (0, 5)
    assert products.mm(torch.zeros(2, 0), torch.zeros(0, 5)).tolist() == [[0.0] * 5] * 2


def test_the_choice_does_not_change_within_a_process():
    assert products.through_onednn() is products.through_onednn()
