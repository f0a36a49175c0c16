from __future__ import annotations

import pytest
import torch

from qbmvae.core.networks import ConditionalLinear
from qbmvae.core.training.fused_step.tables import Tables


@pytest.mark.parametrize(("categories", "continuous"), [((), 0), ((1,), 0), ((3,), 0), ((1, 4, 2), 2), ((), 2)])
def test_tables_and_gradients_are_those_of_autograd(categories, continuous):
    layers = [ConditionalLinear(5, width, categories, continuous) for width in (7, 33)]
    pairs = [(torch.empty_like(layer.table()).detach(), torch.randn_like(layer.table())) for layer in layers]
    tables = Tables(layers, pairs)
    for layer in layers:
        for parameter in layer.parameters():
            parameter.data.normal_()
    tables.fill()
    tables.sum_biases()
    mine = {id(parameter): gradient for parameter, gradient in tables.parameters}
    for layer, (table, gradient) in zip(layers, pairs, strict=True):
        assert torch.equal(table, layer.table())
        (layer.table() * gradient).sum().backward()
        for name, parameter in layer.named_parameters():
            if parameter.grad is None:
                assert id(parameter) not in mine or name == "weight"
            else:
                torch.testing.assert_close(mine[id(parameter)], parameter.grad)
