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
    bias = torch.randn(m)
    for shift in (bias, bias.expand(n, m).clone()):
        torch.testing.assert_close(products.linear(a, b, shift), exact + bias, atol=2 * tolerance, rtol=1e-5)
        torch.testing.assert_close(
            products.linear(a, b, shift, relu=True), (exact + bias).relu(), atol=2 * tolerance, rtol=1e-5
        )


@pytest.mark.parametrize("fast", [True, False])
def test_rounded_products_are_within_the_rounding(monkeypatch, fast):
    if fast and not products.through_onednn():
        fast = False
    monkeypatch.setattr(products, "rounds_fast", lambda: fast)
    torch.manual_seed(0)
    a, b = torch.randn(50, 64).bfloat16(), torch.randn(64, 200)
    found = products.rounded_mm(a, products.rounded(b))
    assert found.dtype == torch.bfloat16 and found.is_contiguous()
    bound = 2**-8 * (a.double().abs() @ b.double().abs())
    assert ((found.double() - a.double() @ b.double()).abs() <= bound).all()


def test_other_types_and_empty_matrices_are_multiplied_too():
    a, b = torch.randn(3, 4, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    assert torch.equal(products.mm(a, b), a @ b)
    assert products.mm(torch.zeros(0, 4), torch.zeros(4, 5)).shape == (0, 5)
    assert products.mm(torch.zeros(2, 0), torch.zeros(0, 5)).tolist() == [[0.0] * 5] * 2


def test_the_choice_does_not_change_within_a_process():
    assert products.through_onednn() is products.through_onednn()
