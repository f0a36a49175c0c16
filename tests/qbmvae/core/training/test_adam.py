from __future__ import annotations

import copy

import torch

from qbmvae.core.training.adam import Adam


def _parameters() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(shape, requires_grad=True) for shape in ((37, 50), (5,), (2000, 3))]


def _groups(parameters, decay: float):
    return [{"params": parameters[:2], "lr": 1e-2, "weight_decay": decay}, {"params": parameters[2:], "lr": 1e-3}]


def _descend(optimiser, parameters, steps: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator)
        optimiser.step()


def test_equals_torch_and_reads_its_state():
    for decay in (0.0, 0.1):
        mine, theirs = _parameters(), _parameters()
        a, b = Adam(_groups(mine, decay)), torch.optim.Adam(_groups(theirs, decay))
        for optimiser, parameters in ((a, mine), (b, theirs)):
            _descend(optimiser, parameters, 20, 1)
        for p, q in zip(mine, theirs, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
        # torch's state continues in ours, and ours in torch's
        states = copy.deepcopy(b.state_dict()), copy.deepcopy(a.state_dict())
        a.load_state_dict(states[0])
        b.load_state_dict(states[1])
        for optimiser, parameters in ((a, mine), (b, theirs)):
            _descend(optimiser, parameters, 5, 2)
        assert float(a.state[mine[0]]["step"]) == 25
        for p, q in zip(mine, theirs, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


def test_a_parameter_without_a_gradient_stays():
    parameters = _parameters()
    optimiser = Adam([{"params": parameters, "lr": 0.1, "weight_decay": 0.1}])
    before = parameters[1].detach().clone()
    parameters[0].grad = torch.ones_like(parameters[0])
    optimiser.step()
    assert torch.equal(parameters[1], before)
