from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import samplers
from qbmvae.core import priors
from qbmvae.core.labels.fit import _Positive, _surrogate, fit_labels, measure
from qbmvae.core.labels.machine import LabelMachine
from qbmvae.core.priors.base import entropy
from samplers import InputError

N = 6


def _machine(groups=(3,), name="boltzmann", n=N, scale=0.8, **options) -> LabelMachine:
    """Return a machine with random weights, in float64, its shares and log Z consistent."""
    torch.manual_seed(1)
    prior = priors.make(name, n, n_input=5, **options)
    machine = LabelMachine(prior, groups)
    for parameter in machine.parameters():
        parameter.data.normal_(0, scale)
    machine.double()
    if isinstance(machine.prior, priors.BoltzmannPrior):
        W = machine.prior.W.data
        W.copy_((W + W.T) / 2 * machine.prior.mask)
    machine.log_shares.copy_(torch.log_softmax(torch.randn(len(machine.design), dtype=torch.float64), 0))
    measure(machine)
    return machine


def _log_p(machine: LabelMachine, z: torch.Tensor) -> torch.Tensor:
    """Return log p(z, y) of all codes, with the constants that make it the machine of these shares, by enumeration."""
    log_weight = -machine.prior.energy(z)[:, None] + z @ machine.fields().T
    return log_weight - torch.logsumexp(log_weight, 0) + machine.log_shares


@pytest.mark.parametrize(
    "options", [{}, {"topology": "bipartite", "n_hidden_units": 3}, {"name": "bernoulli"}, {"groups": (3, 2, 2)}]
)
def test_log_z_constants_and_labels_equal_enumeration(enumeration, options):
    machine, z = _machine(**options), enumeration.states(N)
    exact = _log_p(machine, z)
    assert exact.exp().sum().item() == pytest.approx(1.0, abs=1e-10)
    ours = machine.log_joint(z) - machine.prior.energy(z)[:, None]
    torch.testing.assert_close(ours, exact, atol=1e-5, rtol=0)
    torch.testing.assert_close(machine.log_joint(z).softmax(-1), exact.softmax(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["labelled", "soft", "summed out"])
def test_kl_and_every_gradient_equal_enumeration(enumeration, kind):
    machine, z = _machine(), enumeration.states(N)
    hard = kind == "summed out"
    # where labels are summed out the bits are hard: the log of a sum has no closed form under a posterior
    logits = torch.randn(2, N, dtype=torch.float64)
    logits = 60 * logits.sign() if hard else logits
    target = {
        "labelled": torch.eye(3, dtype=torch.float64)[[0, 2]],
        "soft": torch.tensor([[0.2, 0.5, 0.3], [0.0, 0.9, 0.1]], dtype=torch.float64),
        "summed out": None,
    }[kind]
    machine.log_shares.requires_grad_()
    wanted = [machine.prior.bias, machine.prior.W, machine.U, machine.log_shares]

    def exact():
        log_weight = -machine.prior.energy(z)[:, None] + z @ machine.fields().T + machine.constants
        total = 0.0
        for cell in range(2):
            q = enumeration.posterior(logits[cell])
            if target is None:
                total = total - (q * log_weight.logsumexp(1)).sum()
            else:
                total = total - (q[:, None] * target[cell] * log_weight).sum()
            total = total + torch.special.xlogy(q, q).sum()
        return total

    def ours():
        energy = machine.free_energy(logits) if target is None else machine.expected_energy(logits, target)
        return (energy - entropy(logits)).sum()

    assert ours().item() == pytest.approx(exact().item(), abs=1e-5)
    for name, one, other in zip(
        "bWUc", torch.autograd.grad(exact(), wanted), torch.autograd.grad(ours(), wanted), strict=True
    ):
        if name == "W":
            one, other = (machine.prior.project(g) for g in (one, other))
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", [{}, {"topology": "bipartite", "n_hidden_units": 3}, {"groups": (3, 2)}])
def test_the_fits_gradient_equals_that_of_the_enumerated_likelihood(enumeration, options):
    """With c at its optimum the likelihood is that of the bits given the labels: the two phases of the fit."""
    machine, z = _machine(**options), enumeration.states(N)
    logits = torch.randn(40, N, dtype=torch.float64)
    hard, count = "topology" in options, len(machine.design)
    logits = 60 * logits.sign() if hard else logits
    targets = torch.softmax(torch.randn(40, count, dtype=torch.float64), 1)
    machine.log_shares.copy_(targets.mean(0).log())
    fitted = list(machine.parameters())
    q = torch.stack([enumeration.posterior(row) for row in logits])
    likelihood = (torch.einsum("cz,ck->zk", q, targets) / 40 * _log_p(machine, z)).sum()
    expected = torch.autograd.grad(-likelihood, fitted)

    # all states of each label, bits and hidden units, with their exact weights
    full = enumeration.states(machine.problem(0).n)
    energies = [
        torch.from_numpy(machine.problem(k).energies((2 * full - 1).numpy().astype(np.int8))) for k in range(count)
    ]
    weights = torch.stack([torch.softmax(-e, 0) for e in energies]) * targets.mean(0)[:, None]
    states = (2 * full - 1).expand(count, -1, -1)
    fields = machine.fields().unsqueeze(1)
    negative = _surrogate(machine.prior, states[:, :, :N].add(1) / 2, weights, fields, states)
    positive = _Positive(machine, logits, targets, 0)
    if hard:
        # hard bits and every cell: the draws are exact
        positive_value = (machine.U * positive.pushed).sum() - machine.prior.energy(torch.sigmoid(logits)).mean()
    else:
        positive_value = positive()
    found = torch.autograd.grad(negative - positive_value, fitted)
    for one, other in zip(expected, found, strict=True):
        if one.shape == (N, N):
            one, other = (machine.prior.project(g) for g in (one, other))
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def _planted_cells(enumeration, machine, count, seed=0):
    p = _log_p(machine, enumeration.states(N)).exp().detach()
    rows = torch.multinomial(p.flatten(), count, replacement=True, generator=torch.Generator().manual_seed(seed))
    z, y = rows // p.shape[1], rows % p.shape[1]
    return p, (2 * enumeration.states(N)[z].float() - 1) * 8, torch.eye(p.shape[1])[y]


@pytest.mark.parametrize("options", [{}, {"topology": "bipartite", "n_hidden_units": 3}, {"groups": (2, 2)}])
def test_a_planted_machine_is_found(enumeration, options):
    planted = _machine(scale=1.0, **options)
    p, logits, targets = _planted_cells(enumeration, planted, 20_000)
    torch.manual_seed(2)
    shape = {name: value for name, value in options.items() if name != "groups"}
    machine = LabelMachine(priors.make("boltzmann", N, n_input=5, **shape), planted.groups)
    fit_labels(machine, logits, targets, steps=600, learning_rate=0.05, penalty=1e-6)
    found = _log_p(machine.double(), enumeration.states(N)).exp().detach()
    empirical = torch.zeros_like(p)
    index = (enumeration.states(N)[:, None] == (logits[None] > 0).double()).all(-1).long().argmax(0)
    one = torch.tensor(1 / len(logits), dtype=torch.float64)
    empirical.index_put_((index, targets.argmax(1)), one, accumulate=True)
    assert float((found - p).abs().sum()) / 2 < max(0.03, float((empirical - p).abs().sum()) / 2)
    assert found.sum().item() == pytest.approx(1.0, abs=1e-6)


def test_without_couplings_the_fit_is_the_closed_form(enumeration):
    planted = _machine(name="bernoulli")
    _, logits, targets = _planted_cells(enumeration, planted, 4000)
    machine = LabelMachine(priors.make("bernoulli", N, n_input=5), (3,))
    fit_labels(machine, logits, targets, steps=2000, learning_rate=0.05, penalty=0.0)
    means = (targets.T @ torch.sigmoid(logits)) / targets.sum(0)[:, None]
    with torch.no_grad():
        torch.testing.assert_close(torch.sigmoid(machine.prior.bias + machine.fields()), means, atol=1e-3, rtol=0)
        closed = targets.mean(0).log() + torch.log1p(-means).sum(1)
    torch.testing.assert_close(machine.constants.float(), closed, atol=0.02, rtol=0)


def test_constants_from_populations_give_the_exact_shares_within_their_error(enumeration):
    machine, z = _machine(n=12, scale=0.6), enumeration.states(12)
    weight = (-machine.prior.energy(z)[:, None] + z @ machine.fields().T).detach()
    for k in range(3):
        value, error = samplers.log_partition(
            machine.problem(k), seed=k, method="population-annealing", num_chains=512, num_sweeps=32
        )
        share = float((weight[:, k].logsumexp(0) + machine.log_shares[k] - value).exp())
        assert 0 < error < 0.1
        assert abs(share / float(machine.log_shares[k].exp()) - 1) < 5 * error


@pytest.mark.parametrize("options", [{}, {"topology": "bipartite", "n_hidden_units": 3}, {"groups": (3, 2)}])
def test_label_units_make_one_ising_problem(enumeration, options):
    machine, z = _machine(scale=1.5, **options), enumeration.states(N)
    total = sum(machine.groups)
    names = [("type", f"t{k}") for k in range(total)]
    problem = machine.joint_problem(names)
    hidden = problem.n - N - total
    assert list(problem.labels) == [*range(N + hidden), *names]
    full = enumeration.states(problem.n)
    log_weight = -torch.from_numpy(problem.energies((2 * full - 1).numpy().astype(np.int8)))
    # one-hot states hold all but a sliver: the machine is normalised over all label spins too
    assert torch.logsumexp(log_weight, 0).item() == pytest.approx(0.0, abs=1e-4)
    by_label = log_weight.reshape(2**N, 2**hidden, 2**total).logsumexp(1)
    exact = _log_p(machine, z)
    edges = np.cumsum([0, *machine.groups])
    for k, chosen in enumerate(itertools.product(*(range(a, b) for a, b in itertools.pairwise(edges)))):
        column = sum(2 ** (total - 1 - unit) for unit in chosen)
        torch.testing.assert_close(by_label[:, column], exact[:, k], atol=1e-5, rtol=0)


def test_a_cells_prediction_does_not_depend_on_its_company():
    machine = _machine()
    logits = torch.randn(30, N, dtype=torch.float64)
    together = machine.probabilities(logits)
    torch.testing.assert_close(together.sum(1), torch.ones(30, dtype=torch.float64))
    torch.testing.assert_close(machine.probabilities(logits[7:8]), together[7:8])
    torch.testing.assert_close(machine.probabilities(logits, draws=4000).mean(0), together.mean(0), atol=0.05, rtol=0)


def test_groups_are_summed_out_or_clamped_one_by_one(enumeration):
    """Each group's marginal, and the other group's given it, against the enumerated joint distribution."""
    machine, z = _machine(groups=(3, 2)), enumeration.states(N)
    joint = _log_p(machine, z).exp().reshape(-1, 3, 2)
    # hard codes: their posterior is the code itself
    p = machine.probabilities(60 * (2 * z - 1))
    given = joint / joint.sum((1, 2), keepdim=True)
    torch.testing.assert_close(machine.marginal(p, 0), given.sum(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(machine.marginal(p, 1), given.sum(1), atol=1e-6, rtol=0)
    # one group clamped: the shares of the other's labels, the bits summed out
    clamped = joint.sum(0)[1] / joint.sum(0)[1].sum()
    shares = machine.log_shares.reshape(3, 2)[1].softmax(0)
    torch.testing.assert_close(shares, clamped, atol=1e-6, rtol=0)


def test_a_combination_that_never_occurs_is_never_predicted():
    machine = LabelMachine(priors.make("boltzmann", N, n_input=5), (3,))
    logits = torch.randn(50, N) * 3
    targets = torch.eye(3)[torch.arange(50) % 2]
    fit_labels(machine, logits, targets, steps=20)
    p = machine.probabilities(logits)
    assert torch.isfinite(p).all()
    assert p[:, 2].max() == 0
    assert torch.isfinite(machine.expected_energy(logits, targets)).all()


def test_the_prior_it_starts_from_stays():
    prior = priors.make("boltzmann", N, n_input=5)
    machine = LabelMachine(prior, (2,))
    fit_labels(machine, torch.randn(50, N) * 3, torch.eye(2)[torch.arange(50) % 2], steps=20)
    assert not prior.W.any()
    assert machine.prior.W.any()
    torch.testing.assert_close(machine.prior.W, machine.prior.W.T)


def test_too_many_combinations_are_named():
    with pytest.raises(InputError, match="40 x 40 labels make 1600 combinations"):
        LabelMachine(priors.make("boltzmann", 4, n_input=5), (40, 40))
