from __future__ import annotations

import numpy as np
import torch

from qbmvae.core.training.supervision import Supervision


def test_the_loss_is_the_cross_entropy_of_labelled_cells_over_all_cells():
    torch.manual_seed(0)
    codes = np.array([[0, 1], [2, -1], [-1, -1], [1, 0], [-1, 1]])
    supervision = Supervision(codes, (3, 2), n_latent=4, weight=0.7)
    code = torch.rand(4, 4)
    rows = np.array([3, 0, 2, 1])
    # heads at zero: uniform predictions
    expected = 0.7 * (3 * np.log(3) + 2 * np.log(2)) / 4
    np.testing.assert_allclose(supervision(code, rows).item(), expected, rtol=1e-6)
    for head in supervision.heads:
        torch.nn.init.normal_(head.weight)
    total = 0.0
    for column, head in enumerate(supervision.heads):
        log_p = torch.log_softmax(head(2 * code - 1), -1)
        for cell, row in enumerate(rows):
            if codes[row, column] >= 0:
                total -= log_p[cell, codes[row, column]].item()
    np.testing.assert_allclose(supervision(code, rows).item(), 0.7 * total / 4, rtol=1e-5)


def test_cells_without_a_label_pull_nothing():
    supervision = Supervision(np.full((5, 1), -1), (3,), n_latent=2, weight=1.0)
    code = torch.rand(5, 2, requires_grad=True)
    loss = supervision(code, np.arange(5))
    loss.backward()
    assert loss.item() == 0
    assert not code.grad.any()
