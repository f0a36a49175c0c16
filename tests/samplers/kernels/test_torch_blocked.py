"""The torch kernels, on torch's CPU device ("cpu:0"): the code that runs on a GPU."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import scipy.sparse as sp

import samplers
from samplers import InputError, Ising, testing
from samplers.kernels.torch_blocked import TorchKernel, colours
from samplers.strategies.exact import enumerate_energies, states_of

N = 10


def _problems() -> dict[str, Ising]:
    rng = np.random.default_rng(3)
    J = np.triu(rng.normal(size=(N, N)) / np.sqrt(N), 1)
    h = 0.2 * rng.normal(size=N)
    return {
        "dense": Ising(h, J),
        "bipartite": Ising.bipartite(h[:6], h[6:], rng.normal(size=(6, 4)) / 2),
        "sparse": Ising(h, sp.csr_array(J * (rng.random((N, N)) < 0.4))),
    }


@pytest.mark.parametrize("layout", ["dense", "bipartite", "sparse"])
def test_stationary_with_kept_energies(layout, monkeypatch):
    monkeypatch.setattr("samplers.kernels.torch_blocked.BLOCK", 4)
    problem, rng = _problems()[layout], np.random.default_rng(5)
    p, num = np.exp(-enumerate_energies(problem)), 100_000
    p /= p.sum()
    kernel = TorchKernel(problem, "cpu")
    chains = kernel.start(states_of(rng.choice(2**N, size=num, p=p), N), rng)
    kernel.measure(chains)
    kernel.sweep(chains, 1.0, 10)
    exact = problem.energies(chains.states())
    np.testing.assert_allclose(chains.energy(), exact, atol=1e-4)
    np.testing.assert_allclose(kernel.track(chains), exact, atol=1e-4)
    counts = np.bincount((chains.states() > 0) @ (1 << np.arange(N)), minlength=2**N) / num
    floor = np.mean([np.abs(rng.multinomial(num, p) / num - p).sum() for _ in range(5)])
    assert np.abs(counts - p).sum() < 1.08 * floor


@pytest.mark.parametrize("check", [testing.check_draws, testing.check_moments, testing.check_seed])
@pytest.mark.parametrize("name", ["gibbs", "persistent", "population-annealing", "parallel-tempering"])
def test_strategies_on_torch(name, check):
    check(functools.partial(samplers.get, name, device="cpu:0", num_sweeps=40))


def test_persistent_resumes_on_torch():
    problem = _problems()["dense"]
    sampler, resumed = (samplers.get("persistent", device="cpu:0") for _ in range(2))
    sampler.draw(problem, 64, seed=np.random.default_rng(0))
    resumed.load_state_dict(sampler.state_dict())
    a, b = sampler.draw(problem.scaled(1.1), 64), resumed.draw(problem.scaled(1.1), 64)
    assert np.array_equal(a.states, b.states) and np.array_equal(a.log_weights, b.log_weights)


def test_colours_have_no_couplings_inside():
    problem = _problems()["sparse"]
    sets = colours(problem)
    assert sorted(np.concatenate(sets).tolist()) == list(range(N))
    for sites in sets:
        assert not problem.dense[np.ix_(sites, sites)].any()


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_a_device_that_is_not_there(device):
    with pytest.raises(InputError, match="device='cpu'"):
        samplers.get("gibbs", device=device).draw(_problems()["dense"])
