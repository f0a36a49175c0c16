from __future__ import annotations

import pytest
import torch

from experiments.comparison.forms import FORMS, fit_form, histogram

SIZES = {"circuit": 60 + 30, "machine": 55 + 30, "perceptron": 52 + 30, "nothing": 10}


def form(name, n_bits=10, width=3):
    torch.manual_seed(0)
    found = FORMS[name](torch.full((n_bits,), 0.3), width)
    with torch.no_grad():
        for p in found.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return found


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_a_distribution_of_the_stated_size(name):
    found = form(name)
    log_p = found(torch.randn(4, 3))
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(4), rtol=1e-4, atol=1e-4)
    assert sum(p.numel() for p in found.parameters()) == SIZES[name]
    assert (log_p[0] == log_p[1]).all() == (name == "nothing")


def test_the_machine_is_the_conditional_machine():
    from qbmvae.perturbation.boltzmann.machine import ConditionalMachine

    found = form("machine", 4)
    couplings = torch.zeros(4, 4)
    couplings[found.pairs[0], found.pairs[1]] = found.couplings.detach()
    left = found.shift.weight.detach().double().numpy()
    other = ConditionalMachine(
        found.bias.detach().double().numpy(), (couplings + couplings.T).double().numpy(), left, torch.eye(3).numpy()
    )
    features = torch.randn(2, 3)
    expected = other.probabilities(other.fields(features.numpy()))
    torch.testing.assert_close(found(features).exp().double(), torch.from_numpy(expected), rtol=1e-4, atol=1e-5)


def test_the_perceptron_is_autoregressive():
    found = form("perceptron", 3)
    p = found(torch.zeros(1, 3)).exp()[0]
    # the first bit's odds do not depend on the others
    torch.testing.assert_close(
        torch.logit(p[4:].sum()), found.bias[0] + (torch.tanh(found.offset) * found.outward[0]).sum()
    )


def test_a_histogram_is_the_mean_over_cells():
    states = form("nothing", 2).states
    q = torch.tensor([[0.2, 0.5], [1.0, 0.0], [0.5, 0.5]])
    found = histogram(q, torch.tensor([0, 0, 2]), 3, states)
    torch.testing.assert_close(found[0], torch.tensor([0.2, 0.2, 0.55, 0.05]), rtol=1e-4, atol=1e-5)
    assert not found[1].any()


@pytest.mark.parametrize("name", FORMS)
def test_fits_are_better_than_independent_bits_where_bits_go_together(name):
    states = form("nothing", 4).states
    target = torch.zeros(1, 16)
    target[0, 0] = target[0, -1] = 0.5
    mean = torch.full((4,), 0.5)
    found = fit_form(name, mean, torch.zeros(1, 0), target, target, torch.ones(1), seconds=0.5)
    nats = -float((target * found.form(torch.zeros(1, 0))).sum())
    assert nats == pytest.approx(2.77, abs=0.01) if name == "nothing" else nats < 1.5
    assert found.steps > 0 and len(states) == 16
