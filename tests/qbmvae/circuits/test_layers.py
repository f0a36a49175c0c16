"""The circuit layers: shapes, counts that the papers state, gradients, controls."""

from __future__ import annotations

import copy

import pytest
import torch

from qbmvae.circuits import BlockCircuit, DepthInfusedLayer, ReuploadingLayer
from samplers.errors import InputError


def test_the_drug_layer_has_the_counts_of_the_paper():
    layer = DepthInfusedLayer()
    assert layer.angles.shape == (33, 5, 8)
    assert layer.angles.numel() == 1320
    assert sum(p.numel() for p in layer.parameters()) == 1322
    assert layer.n_layers == 363
    assert layer(torch.zeros(3, 256)).shape == (3, 1)


def test_24_angles_of_the_last_block_have_no_gradient():
    layer = DepthInfusedLayer(seed=0).double()
    layer(torch.randn(4, 256, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).sum().backward()
    dead = layer.angles.grad.abs() < 1e-12
    assert dead.sum() == dead[-1].sum() == 24


def test_unequal_blocks_have_flat_angles():
    layer = DepthInfusedLayer(n_features=6, n_qubits=3, n_first=1, n_between=2, axis="y")
    assert layer.angles.shape == (5, 3)
    assert layer(torch.zeros(2, 6)).shape == (2, 1)


@pytest.mark.parametrize(
    "options", [{"n_features": 250}, {"axis": "z"}, {"n_first": -1}, {"n_first": 0, "n_between": 0}]
)
def test_the_drug_layer_refuses_what_it_cannot_build(options):
    with pytest.raises(InputError):
        DepthInfusedLayer(**options)


def test_reuploading_shapes_and_weights():
    layer = ReuploadingLayer(n_qubits=8, n_layers=4)
    assert layer.angles.numel() == 96
    assert layer(torch.randn(5, 8)).shape == (5, 24)
    assert ReuploadingLayer(n_qubits=3, n_layers=1, readout="z")(torch.randn(5, 3)).shape == (5, 3)
    assert BlockCircuit(n_layers=1)(torch.randn(2, 24)).shape == (2, 72)


def test_width_mismatch_is_named():
    with pytest.raises(InputError, match=r"\(batch, 8\)"):
        ReuploadingLayer()(torch.zeros(2, 7))
    with pytest.raises(InputError, match=r"\(batch, 256\)"):
        DepthInfusedLayer()(torch.zeros(2, 8))


def test_normalised_outputs_have_unit_variance_and_seeds_repeat():
    layer = ReuploadingLayer(4, 2, normalise=True, seed=1)
    x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
    out = layer(x)
    torch.testing.assert_close(out.var(0, correction=0), torch.ones(12), atol=0.05, rtol=0)
    assert torch.equal(ReuploadingLayer(4, 2, seed=1).angles, layer.angles)


def test_layers_copy_and_reload():
    layer = ReuploadingLayer(3, 2, seed=0)
    x = torch.randn(4, 3)
    expected = layer(x)
    torch.testing.assert_close(copy.deepcopy(layer)(x), expected)
    other = ReuploadingLayer(3, 2, seed=5)
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(x), expected)


def test_blocks_do_not_mix():
    layer = BlockCircuit(2, 2, 1, seed=0)
    x = torch.randn(1, 4, requires_grad=True)
    layer(x)[:, : layer.n_outputs // 2].sum().backward()
    assert x.grad[0, :2].abs().sum() > 0
    assert x.grad[0, 2:].abs().sum() == 0
