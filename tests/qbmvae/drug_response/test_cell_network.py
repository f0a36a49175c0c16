from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from qbmvae.drug_response.cell_network import ConvCellEncoder, DenseCellEncoder, positions


def test_735_features_leave_23_positions():
    assert positions(735) == 23


@pytest.mark.parametrize("width", [1, 40, 117, 118, 119, 677, 1000])
def test_any_width(width):
    encoder = ConvCellEncoder(width)
    out = encoder(torch.ones(2, width))
    assert out.shape == (2, 128)
    out.sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())


def test_equals_plain_one_dimensional_convolutions():
    torch.manual_seed(0)
    encoder, x = ConvCellEncoder(200), (torch.rand(3, 200) < 0.2).float()
    y = x[:, None]
    for layer in encoder.convolutions:
        y = F.relu(F.max_pool1d(F.conv1d(y, layer.weight[:, :, 0], layer.bias), 3))
    torch.testing.assert_close(encoder(x), encoder.dense(y.flatten(1)), rtol=1e-4, atol=1e-5)


def test_dense_encoder_standardises_by_training_lines():
    encoder = DenseCellEncoder(3)
    features = torch.tensor([[1.0, 5.0, 100.0], [3.0, 5.0, 300.0]])
    encoder.standardise(features)
    scaled = (features - encoder.mean) / encoder.scale
    torch.testing.assert_close(scaled, torch.tensor([[-1.0, 0.0, -1.0], [1.0, 0.0, 1.0]]))
    assert "mean" in encoder.state_dict()
