"""Problems that share couplings, drawn in one call: the same moments, energies and log Z as one by one, by enumeration."""

from __future__ import annotations

import json

import numpy as np
import pytest

import samplers
from samplers import InputError, Ising
from samplers.kernels import int8
from samplers.strategies.exact import exact_moments
from samplers.testing import LARGEST_Z, largest_z
from samplers.wrappers import Ledger

LOCAL = ("exact", "gibbs", "persistent", "population-annealing", "parallel-tempering", "simulated-annealing")
RNG = np.random.default_rng(7)
N, K = 9, 3
FIELDS = RNG.normal(0, 0.6, (K, N))


def couplings(layout: str) -> Ising:
    rng = np.random.default_rng(3)
    if layout == "bipartite":
        return Ising.bipartite(np.zeros(5), np.zeros(4), rng.normal(0, 0.5, (5, 4)), offset=0.7)
    J = np.triu(rng.normal(0, 0.35, (N, N)), 1)
    if layout == "sparse":
        return Ising(np.zeros(N), {(i, (i + 1) % N): 0.6 for i in range(N)}, offset=0.7)
    return Ising(np.zeros(N), J, offset=0.7)


@pytest.mark.parametrize("layout", ["dense", "bipartite", "sparse"])
@pytest.mark.parametrize("name", LOCAL)
def test_each_problem_has_its_own_moments(name, layout):
    problem = couplings(layout)
    batch = samplers.get(name).draw_batch(problem, FIELDS, 4000, 0.9, seed=1)
    assert batch.states.shape == (K, 4000, N) and batch.states.dtype == np.int8 and len(batch) == K
    for k, draws in enumerate(batch):
        own = problem.with_fields(FIELDS[k])
        assert largest_z(draws, own, 0.9) < LARGEST_Z
        np.testing.assert_allclose(draws.energies, own.energies(draws.states), rtol=1e-12)
        np.testing.assert_allclose(batch.energies[k], draws.energies)
        np.testing.assert_allclose(batch.mean()[k], draws.mean(), atol=1e-12)
        np.testing.assert_allclose(batch.second_moments()[k], draws.second_moments(), atol=1e-12)
        if "log_z" in draws.info:
            assert draws.info["log_z"] == pytest.approx(samplers.log_partition(own, 0.9)[0], abs=0.1)


@pytest.mark.parametrize("float32", [False, True])
@pytest.mark.parametrize("layout", ["dense", "bipartite", "sparse"])
def test_every_kernel_holds_fields_of_its_own(monkeypatch, layout, float32):
    if float32:
        monkeypatch.setattr(int8, "available", lambda: False)
    problem = couplings(layout)
    batch = samplers.get("gibbs", num_sweeps=40).draw_batch(problem, FIELDS, 5000, seed=2)
    chains = samplers.get("persistent", num_sweeps=20)
    followed = [chains.draw_batch(problem, scale * FIELDS, 5000, seed=None) for scale in (0.5, 0.8, 1.0)][-1]
    assert not followed.info["restarted"]
    for k in range(K):
        for draws in (batch[k], followed[k]):
            assert largest_z(draws, problem.with_fields(FIELDS[k]), 1.0) < LARGEST_Z


def test_a_torch_device_draws_batches():
    batch = samplers.get("gibbs", num_sweeps=40, device="cpu:0").draw_batch(couplings("dense"), FIELDS, 3000, seed=2)
    for k in range(K):
        assert largest_z(batch[k], couplings("dense").with_fields(FIELDS[k]), 1.0) < LARGEST_Z


@pytest.mark.parametrize("name", LOCAL)
def test_clamped_spins_of_each_problem(name):
    problem = couplings("dense").with_fields(FIELDS[0])
    clamped = [{0: 1}, {0: -1}, {0: 1, 4: -1}, {}, dict.fromkeys(range(N), 1)]
    batch = samplers.get(name).draw_batch(problem, num_reads=4000, clamped=clamped, seed=3)
    for k, held in enumerate(clamped):
        for spin, value in held.items():
            assert (batch.states[k, :, spin] == value).all()
        rest, free = problem.condition(held)
        if len(free):
            draws = batch[k]
            draws.states = draws.states[:, free]
            assert largest_z(draws, rest, 1.0) < LARGEST_Z
        np.testing.assert_allclose(batch[k].energies, problem.energies(batch.states[k]), rtol=1e-12)


@pytest.mark.parametrize("method", ["auto", "population-annealing", "ais"])
def test_log_z_of_each_problem(method):
    problem, clamped = couplings("dense"), [{0: 1}, {3: -1, 5: 1}, {}]
    values, errors = samplers.log_partition(problem, 0.8, method=method, fields=FIELDS, clamped=clamped)
    for k in range(K):
        rest, _ = problem.with_fields(FIELDS[k]).condition(clamped[k])
        exact = samplers.log_partition(rest, 0.8, method="exact")[0]
        assert values[k] == pytest.approx(exact, abs=1e-9 if method == "auto" else max(5 * errors[k], 0.02))
    one = samplers.log_partition(problem.with_fields(FIELDS[1]), 0.8, clamped={0: 1})
    assert isinstance(one[0], float)
    two = samplers.log_partition(problem.with_fields(FIELDS[1]), 0.8, clamped={0: -1})[0]
    assert np.logaddexp(one[0], two) == pytest.approx(samplers.log_partition(problem.with_fields(FIELDS[1]), 0.8)[0])


def test_a_large_batch_estimates_log_z_beyond_enumeration():
    rng = np.random.default_rng(0)
    problem = Ising(np.zeros(40), np.triu(rng.normal(0, 0.1, (40, 40)), 1))
    fields = rng.normal(0, 0.3, (4, 40))
    values, errors = samplers.log_partition(problem, fields=fields, num_chains=1024, num_sweeps=64)
    for k in range(4):
        alone, error = samplers.log_partition(problem.with_fields(fields[k]), num_chains=1024, num_sweeps=64, seed=9)
        assert abs(values[k] - alone) < 5 * np.hypot(errors[k], error) + 1e-3


def test_seeds_and_chains():
    problem, gibbs = couplings("dense"), samplers.get("gibbs")
    same = [gibbs.draw_batch(problem, FIELDS, 20, seed=5).states for _ in range(2)]
    assert (same[0] == same[1]).all() and (gibbs.draw_batch(problem, FIELDS, 20, seed=6).states != same[0]).any()
    chains = samplers.get("persistent")
    first = chains.draw_batch(problem, FIELDS, 64, seed=0)
    state = chains.state_dict()
    second = chains.draw_batch(problem, 1.1 * FIELDS, 64)
    assert first.info["restarted"] and not second.info["restarted"]
    resumed = samplers.get("persistent")
    resumed.load_state_dict(state)
    assert (resumed.draw_batch(problem, 1.1 * FIELDS, 64).states == second.states).all()
    start = np.ones((K, 1, N), dtype=np.int8)
    cold = samplers.get("gibbs", num_sweeps=1).draw_batch(problem, FIELDS - 50, 8, 5.0, initial_states=start, seed=1)
    assert (cold.states == 1).all()


def test_machines_are_asked_problem_by_problem_and_the_ledger_counts(tmp_path):
    calls = []

    class Machine(samplers.Sampler):
        def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
            calls.append(problem.h.copy())
            return np.ones((num_reads, problem.n))

    ledger = Ledger(Machine(), tmp_path / "ledger.jsonl")
    batch = ledger.draw_batch(couplings("dense"), FIELDS, 6, seed=0)
    rows = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert len(rows) == K and all(row["reads"] == 6 for row in rows) and batch.info["calls"] == K
    np.testing.assert_array_equal(calls, FIELDS)


def test_a_subclass_with_a_draw_of_its_own_draws_its_batches():
    class Mine(samplers.get("gibbs").__class__):
        def _draw(self, request):
            return np.ones((request.num_reads, request.problem.n))

    class Older(samplers.get("gibbs").__class__):
        def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
            return -super().draw(problem, num_reads, beta, initial_states=np.ones(problem.n), seed=seed).states * 0 - 1

    assert (Mine().draw_batch(couplings("dense"), FIELDS, 3).states == 1).all()
    assert (Older().draw_batch(couplings("dense"), FIELDS, 3).states == -1).all()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({}, "fields"),
        ({"fields": np.zeros(N)}, r"\(k, 9\)"),
        ({"fields": np.zeros((2, N + 1))}, r"\(k, 9\)"),
        ({"fields": np.full((2, N), np.nan)}, "problem 0"),
        ({"fields": FIELDS, "clamped": [{}]}, "1 mappings for 3 problems"),
        ({"fields": FIELDS, "clamped": {99: 1}}, "99"),
        ({"fields": FIELDS, "num_reads": 0}, "num_reads"),
        ({"fields": FIELDS, "initial_states": np.ones((2, 1, N))}, "initial_states"),
        ({"fields": FIELDS, "seed": "x"}, "seed"),
    ],
)
def test_wrong_batches_are_named(wrong, named):
    with pytest.raises(InputError, match=named):
        samplers.get("gibbs").draw_batch(couplings("dense"), **wrong)


def test_the_exact_moments_agree_with_enumeration_of_each_problem():
    problem = couplings("dense")
    batch = samplers.get("exact").draw_batch(problem, FIELDS, 20_000, seed=0)
    for k in range(K):
        np.testing.assert_allclose(batch.mean()[k], exact_moments(problem.with_fields(FIELDS[k]))[0], atol=0.04)
