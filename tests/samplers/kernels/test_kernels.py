"""Every kernel: stays at the distribution, reaches it, keeps its energies, and does not care about threads."""

from __future__ import annotations

import numba
import numpy as np
import pytest
import scipy.sparse as sp

from samplers import Ising
from samplers.kernels import dispatch, int8
from samplers.kernels.chains import Chains
from samplers.strategies.exact import enumerate_energies, states_of

N = 12


def _problems(g: float) -> dict[str, Ising]:
    rng = np.random.default_rng(3)
    J = np.triu(g * rng.normal(size=(N, N)) / np.sqrt(N), 1)
    h = 0.2 * rng.normal(size=N)
    return {
        "dense": Ising(h, J),
        "bipartite": Ising.bipartite(h[:7], h[7:], g * rng.normal(size=(7, 5)) / np.sqrt(6)),
        "sparse": Ising(h, sp.csr_array(J * (rng.random((N, N)) < 0.4))),
    }


def _kernel(problem: Ising, fixed: bool) -> dispatch.Kernel:
    kernel = dispatch.Kernel(problem)
    if not fixed:
        kernel._field_error = np.inf  # keeps it to float32
    return kernel


CASES = [("dense", False), ("dense", True), ("bipartite", False), ("bipartite", True), ("sparse", False)]


def _exact(problem: Ising) -> np.ndarray:
    p = np.exp(-enumerate_energies(problem))
    return p / p.sum()


def _index(states: np.ndarray) -> np.ndarray:
    return (states > 0) @ (1 << np.arange(N))


def _over_floor(states: np.ndarray, p: np.ndarray, rng: np.random.Generator) -> float:
    """Total variation to `p`, in units of that of as many independent exact samples."""
    num = len(states)
    floor = np.mean([np.abs(rng.multinomial(num, p) / num - p).sum() for _ in range(5)])
    return np.abs(np.bincount(_index(states), minlength=2**N) / num - p).sum() / floor


@pytest.mark.parametrize(("layout", "fixed"), CASES)
@pytest.mark.parametrize(("g", "limit"), [(1.0, 1.06), (2.0, 1.2)])
def test_stationary(layout, fixed, g, limit):
    problem, rng = _problems(g)[layout], np.random.default_rng(5)
    p, num = _exact(problem), 100_000
    start = states_of(rng.choice(2**N, size=num, p=p), N)
    chains = Chains.from_states(start, rng)
    _kernel(problem, fixed).sweep(chains, 1.0, 20)
    states = chains.states()
    assert _over_floor(states, p, rng) < limit
    assert (states != start).mean() > 0.1


@pytest.mark.parametrize(("layout", "fixed"), CASES)
def test_cold_start(layout, fixed):
    problem, rng = _problems(1.0)[layout], np.random.default_rng(6)
    chains = Chains.random(50_000, N, rng)
    _kernel(problem, fixed).sweep(chains, 1.0, 60)
    assert _over_floor(chains.states(), _exact(problem), rng) < 1.08


@pytest.mark.parametrize(("layout", "fixed"), CASES)
def test_betas_of_single_chains(layout, fixed):
    problem, rng = _problems(1.0)[layout], np.random.default_rng(7)
    betas = np.repeat([0.3, 1.5], 40_000)
    chains = Chains.random(len(betas), N, rng)
    _kernel(problem, fixed).sweep(chains, betas, 60)
    for beta in (0.3, 1.5):
        p = _exact(problem.scaled(beta))
        assert _over_floor(chains.states()[betas == beta], p, rng) < 1.12


@pytest.mark.parametrize(("layout", "fixed"), CASES)
def test_energies_are_kept(layout, fixed):
    problem, rng = _problems(1.0)[layout], np.random.default_rng(8)
    chains, kernel = Chains.random(200, N, rng), _kernel(problem, fixed)
    kernel.measure(chains)
    kernel.sweep(chains, 1.0, 50)
    exact = problem.energies(chains.states())
    # 16-bit couplings are off by 1e-5 each
    np.testing.assert_allclose(chains.energy(), exact, atol=1e-3 if fixed else 1e-5)
    np.testing.assert_allclose(kernel.track(chains), exact, atol=1e-3 if fixed else 1e-5)


@pytest.mark.parametrize(("layout", "fixed"), CASES)
def test_threads_do_not_matter(layout, fixed, monkeypatch):
    problem, seen = _problems(1.0)[layout], []
    for threads in (1, 3):
        monkeypatch.setattr(numba, "get_num_threads", lambda threads=threads: threads)
        monkeypatch.setattr(dispatch, "WORTH_A_THREAD", 1.0)
        chains = Chains.random(700, N, np.random.default_rng(9))
        _kernel(problem, fixed).sweep(chains, 1.0, 11)
        seen.append(chains.states())
    assert np.array_equal(*seen)


def test_sweeps_add_up():
    problem = _problems(1.0)["dense"]
    once, twice = (Chains.random(100, N, np.random.default_rng(1)) for _ in range(2))
    kernel = dispatch.Kernel(problem)
    kernel.sweep(once, 1.0, 5)
    kernel.sweep(twice, 1.0, 2)
    kernel.sweep(twice, 1.0, 3)
    assert np.array_equal(once.states(), twice.states())


def test_coarse_rounding_is_not_used():
    J = np.zeros((40, 40))
    J[0, 1] = 50.0
    J[2, 3] = 0.1
    assert not dispatch.Kernel(Ising(np.zeros(40), J)).form(1.0).arguments[0].dtype == np.uint32
    if int8.available():
        assert dispatch.Kernel(Ising(np.zeros(40), J / 500)).form(1.0).arguments[0].dtype == np.uint32


def test_chains_keep_their_states():
    rng = np.random.default_rng(2)
    states = rng.choice([-1, 1], size=(130, 9)).astype(np.int8)
    chains = Chains.from_states(states, rng)
    assert np.array_equal(chains.states(), states)
    chains.energies.reshape(-1)[:130] = np.arange(130)
    rows = rng.integers(0, 130, size=130)
    chains.take(rows)
    assert np.array_equal(chains.states(), states[rows]) and np.array_equal(chains.energy(), rows)
