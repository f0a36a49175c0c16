"""The conditional machine against enumeration and automatic differentiation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samplers
from qbmvae.perturbation.boltzmann import gibbs
from qbmvae.perturbation.boltzmann.machine import ConditionalMachine, positive_moments
from qbmvae.perturbation.boltzmann.training import train
from samplers.errors import InputError

N, RANK, FEATURES = 6, 2, 3


def machine(seed=0, n=N, strength=1.0):
    rng = np.random.default_rng(seed)
    w = np.triu(rng.normal(size=(n, n)), 1) * strength
    return ConditionalMachine(
        rng.normal(size=n), w + w.T, rng.normal(size=(n, RANK)), rng.normal(size=(RANK, FEATURES))
    )


def conditions():
    return np.vstack([np.zeros(FEATURES), np.eye(FEATURES)])


def cells(seed=1, n_cells=40):
    rng = np.random.default_rng(seed)
    return rng.random((n_cells, N)), np.arange(n_cells) % 4


def likelihood(m, q, condition, weights, parameters):
    """The weighted expected log-likelihood by enumeration, in torch."""
    bias, couplings, left, right = parameters
    states = torch.tensor(((np.arange(2**N)[:, None] >> np.arange(N - 1, -1, -1)) & 1).astype(float))
    fields = bias + torch.tensor(conditions()) @ right.T @ left.T
    scores = fields @ states.T + 0.5 * ((states @ couplings) * states).sum(1)
    log_z = torch.logsumexp(scores, 1)
    q = torch.tensor(q)
    # z_i^2 = z_i never occurs: the diagonal is zero
    energy = (q * fields[condition]).sum(1) + 0.5 * ((q @ couplings) * q).sum(1)
    count = torch.tensor(np.bincount(condition).astype(float))
    return ((energy - log_z[condition]) * (torch.tensor(weights) / count)[condition]).sum()


def test_the_gradient_is_that_of_the_enumerated_likelihood():
    m, (q, condition), weights = machine(), cells(), np.array([0.4, 0.3, 0.2, 0.1])
    parameters = [torch.tensor(a, requires_grad=True) for a in (m.bias, m.couplings, m.left, m.right)]
    expected = torch.autograd.grad(likelihood(m, q, condition, weights, parameters), parameters)
    negative = m.exact_moments(m.fields(conditions()), weights)
    found = m.gradient(positive_moments(q, condition, weights), negative, conditions(), weights)
    for name, a, b in zip(found._fields, found, expected, strict=True):
        b = b.numpy()
        if name == "couplings":  # one gradient a pair
            b = b + b.T
            np.fill_diagonal(b, 0)
            a = a * 1.0
        np.testing.assert_allclose(a, b, atol=1e-5, err_msg=name)


def test_log_z_probabilities_and_kl_are_those_of_enumeration():
    m = machine()
    for fields in m.fields(conditions()):
        value, error = m.log_partition(fields)
        reference, _ = samplers.log_partition(m.problem(fields), method="exact")
        assert value == pytest.approx(reference, abs=1e-5) and error == 0
        p = m.probabilities(fields)[0]
        states = ((np.arange(2**N)[:, None] >> np.arange(N - 1, -1, -1)) & 1).astype(float)
        q = np.random.default_rng(0).random((1, N))
        product = np.prod(np.where(states == 1, q, 1 - q), 1)
        assert m.kl(q, fields, value) == pytest.approx((product * np.log(product / p)).sum(), abs=1e-5)


def test_larger_machines_take_their_partition_function_from_the_samplers():
    m = machine(n=18, strength=0.2)
    value, error = m.log_partition(m.bias)
    reference, _ = samplers.log_partition(m.problem(m.bias), method="exact")
    assert abs(value - reference) < max(5 * error, 1e-6)
    with pytest.raises(InputError, match="18 bits"):
        m.probabilities(m.bias)


def test_gibbs_sweeps_reach_the_distribution_of_each_condition():
    m, rng = machine(), np.random.default_rng(0)
    fields = m.fields(conditions())
    owner = np.repeat(np.arange(4), 5000)
    z = np.zeros((len(owner), N), np.uint8)
    gibbs.sweep(z, fields, owner, m.couplings, 60, rng)
    number = z @ (1 << np.arange(N - 1, -1, -1))
    for c, p in enumerate(m.probabilities(fields)):
        counts = np.bincount(number[owner == c], minlength=2**N)
        live = 5000 * p > 3
        chi2 = ((counts - 5000 * p)[live] ** 2 / (5000 * p[live])).sum()
        assert chi2 < live.sum() + 5 * np.sqrt(2 * live.sum())


def test_clamped_bits_stay():
    m, rng = machine(), np.random.default_rng(0)
    z = np.ones((50, N), np.uint8)
    fixed = np.arange(N) < 2
    gibbs.sweep(z, m.fields(conditions()), np.zeros(50, int), m.couplings, 5, rng, fixed)
    assert z[:, :2].all() and not z[:, 2:].all()


def test_training_recovers_the_distributions_of_a_planted_machine():
    truth, rng = machine(3, strength=0.7), np.random.default_rng(0)
    p = truth.probabilities(truth.fields(conditions()))
    condition = np.repeat(np.arange(4), 4000)
    number = np.concatenate([rng.choice(2**N, 4000, p=row) for row in p])
    bits = ((number[:, None] >> np.arange(N - 1, -1, -1)) & 1).astype(float)
    found = train(bits, condition, conditions(), rank=3, steps=1500, n_chains=200, seed=0)
    learned = found.probabilities(found.fields(conditions()))
    divergence = (p * np.log(p / learned)).sum(1)
    assert divergence.max() < 0.02  # a fit of the marginals alone leaves more
    marginal = (bits.reshape(4, 4000, N)).mean(1)
    states = ((np.arange(2**N)[:, None] >> np.arange(N - 1, -1, -1)) & 1).astype(float)
    alone = np.stack([np.prod(np.where(states == 1, m, 1 - m), 1) for m in marginal])
    assert (p * np.log(p / alone)).sum(1).min() > 0.05


def test_minibatches_of_conditions_find_the_same_fields():
    rng, features = np.random.default_rng(0), np.vstack([np.zeros(8), np.eye(8)])
    condition = np.repeat(np.arange(9), 300)
    rates = rng.uniform(0.2, 0.8, (9, 4))
    bits = (rng.random((2700, 4)) < rates[condition]).astype(float)
    found = train(bits, condition, features, rank=4, steps=2000, conditions_a_step=4, seed=0)
    exact = found.exact_moments(found.fields(features), np.full(9, 1 / 9)).first
    observed = bits.reshape(9, 300, 4).mean(1)
    assert np.abs(exact - observed).max() < 0.05


def test_bad_input_is_named():
    m = machine()
    with pytest.raises(InputError, match="features have 2 columns"):
        m.fields(np.zeros((1, 2)))
    with pytest.raises(InputError, match="condition 1 has no cells"):
        positive_moments(np.zeros((2, 3)), np.zeros(2, int), np.full(2, 0.5))
