"""A gradient inside a loss that is differentiated again is exact, whatever the engine."""

from __future__ import annotations

import pytest
import torch

from qbmvae.circuits import Circuit, ReuploadingLayer
from qbmvae.circuits.engines import ENGINES
from samplers.errors import InputError


def example():
    c = Circuit(3).h(0).ry(1, param=0).rx(0, feature=0).cnot(0, 1).crx(1, 2, param=1, scale=-0.5).rzz(0, 2, feature=1)
    return c.ry(2, param=2).cz(0, 2).rx(1, angle=0.3).rz(1, feature=0, scale=2.0)


def inputs():
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(3, generator=generator, dtype=torch.float64).requires_grad_()
    return params, torch.randn(2, 2, generator=generator, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("engine", ENGINES)
def test_second_derivatives_of_expectation_values(engine):
    function = lambda p, x: example().expval(["Z0", "X1 Y2", "Z2"], p, x, engine=engine)  # noqa: E731
    assert torch.autograd.gradgradcheck(function, inputs())


@pytest.mark.parametrize("engine", ENGINES)
def test_second_derivatives_of_probabilities(engine):
    assert torch.autograd.gradgradcheck(lambda p, x: example().probabilities(p, x, engine=engine), inputs())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_gradient_penalty_reaches_the_parameters(engine):
    """The loss of a gradient norm: an upstream gradient of ones, which needs no gradient itself."""

    def penalty(name):
        params, features = inputs()
        out = example().expval(["Z0", "X1 Y2"], params, features, engine=name).sum()
        (slope,) = torch.autograd.grad(out, features, create_graph=True)
        return torch.autograd.grad(slope.square().sum() + params.square().sum(), (params, features))

    for found, expected in zip(penalty(engine), penalty("per-gate"), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


def test_the_hessian_of_a_layer():
    layer = ReuploadingLayer(3, 2, seed=0).double()
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss(angles, engine="auto"):
        return layer.circuit.expval(layer.observables, angles, x, engine=engine).square().sum()

    angles = layer.angles.detach().reshape(-1)
    found = torch.autograd.functional.hessian(loss, angles)
    torch.testing.assert_close(
        found, torch.autograd.functional.hessian(lambda a: loss(a, "per-gate"), angles), atol=1e-9, rtol=1e-9
    )


def test_a_large_register_is_refused_before_memory_runs_out(monkeypatch):
    from qbmvae.circuits import memory

    circuit, params = Circuit(14).ry(0, param=0).cnot(0, 13), torch.tensor([0.3], requires_grad=True)
    out = circuit.expval("Z13", params, engine="reversible").sum()
    monkeypatch.setattr(memory, "available", lambda device: 0.0)
    monkeypatch.setattr(memory, "SMALL", 0)
    with pytest.raises(InputError, match="GiB"):
        torch.autograd.grad(out, params, create_graph=True)
