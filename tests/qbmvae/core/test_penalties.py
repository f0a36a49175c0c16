from __future__ import annotations

import pytest
import torch

from qbmvae.core.penalties import batch_mean_gap


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_value_and_gradient_are_those_of_the_formula(dtype):
    torch.manual_seed(0)
    code = torch.rand(40, 7, dtype=dtype, requires_grad=True)
    batch = torch.randint(0, 4, (40,))
    batch[batch == 2] = 3  # a batch without cells
    (3 * batch_mean_gap(code, batch)).backward()

    wide = code.detach().double().requires_grad_()
    present = batch.unique()
    expected = sum(
        (batch == b).double().mean() * (wide[batch == b].mean(0) - wide.mean(0)).square().sum() for b in present
    )
    (3 * expected).backward()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(batch_mean_gap(code, batch).double(), expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(code.grad.double(), wide.grad, rtol=tolerance, atol=tolerance)
