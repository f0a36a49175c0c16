from __future__ import annotations

import threading

import dimod
import dimod.testing
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import samplers
from samplers.errors import InputError
from samplers.wrappers import Ahead, Cache, Correction, Gauge, Quantise, TemperatureControl, quantise_problem, reweight
from samplers.wrappers.correction import random_start


def gaussian(n: int, g: float, seed: int) -> samplers.Ising:
    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.normal(0, g / np.sqrt(n), (n, n)), 1)
    return samplers.Ising(rng.normal(0, 0.3, n), couplings + couplings.T)


def layouts() -> list[samplers.Ising]:
    rng = np.random.default_rng(0)
    return [
        gaussian(6, 1.0, 0),
        samplers.Ising(rng.normal(0, 1, 6), {(0, 1): 0.5, (1, 4): -2.0, (2, 5): 0.1}),
        samplers.Ising.bipartite(rng.normal(0, 1, 4), rng.normal(0, 1, 2), rng.normal(0, 1, (4, 2))),
    ]


@pytest.mark.parametrize("wrap", [Ahead, Cache, Correction, Gauge, Quantise, TemperatureControl])
def test_a_wrapper_is_a_dimod_sampler(wrap):
    sampler = wrap("gibbs?num_sweeps=20")
    dimod.testing.assert_sampler_api(sampler)
    bqm = dimod.BinaryQuadraticModel({"a": 0.3, "b": -0.2}, {"ab": 0.5}, 1.5, "BINARY")
    answer = sampler.sample(bqm, num_reads=20, seed=1)
    dimod.testing.assert_response_energies(answer, bqm)
    assert sampler.kind == "sampler" and sampler.properties["child"]["kind"] == "sampler"
    with pytest.raises(InputError, match="num_read"):
        sampler.sample(bqm, num_read=99)
    if isinstance(sampler, Ahead):
        sampler.close()


@pytest.mark.parametrize("problem", layouts(), ids=["dense", "sparse", "bipartite"])
def test_gauged_energies_are_equal(problem):
    rng = np.random.default_rng(1)
    gauge = rng.choice([-1, 1], problem.n)
    states = rng.choice([-1, 1], (20, problem.n))
    other = problem.gauged(gauge)
    assert other.layout == problem.layout
    np.testing.assert_allclose(other.energies(states * gauge), problem.energies(states), atol=1e-12)


def test_gauges_cancel_a_machine_that_leans():
    class Leaning(samplers.Sampler):
        """Reads every spin as +1 with an extra field."""

        def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
            leaning = samplers.Ising(problem.h - 0.5, problem.J)
            return samplers.get("gibbs", num_sweeps=30).draw(leaning, num_reads, beta, seed=seed).states

    problem = samplers.Ising(np.zeros(8), {(i, i + 1): 0.2 for i in range(7)})
    plain = Leaning().draw(problem, 4000, seed=0).mean()
    turned = Gauge(Leaning(), num_gauges=200).draw(problem, 4000, seed=0).mean()
    assert plain.mean() > 0.3
    assert abs(turned.mean()) < 0.06


def test_gauge_passes_starts_and_weights():
    problem = samplers.Ising(np.zeros(5), {(i, i + 1): -9.0 for i in range(4)})
    start = -np.ones((12, 5), dtype=np.int8)
    draws = Gauge("gibbs?num_sweeps=2", num_gauges=5).draw(problem, 12, initial_states=start, seed=0)
    assert (draws.states == -1).mean() > 0.95
    weighted = Gauge("population-annealing?num_sweeps=4", num_gauges=2).draw(gaussian(8, 2.0, 1), 600, seed=0)
    assert weighted.log_weights is None or weighted.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("problem", layouts(), ids=["dense", "sparse", "bipartite"])
@given(bits=st.integers(2, 12), reach=st.floats(0.05, 5.0))
@settings(deadline=None, max_examples=20)
def test_quantised_coefficients_lie_on_the_grid_and_in_range(problem, bits, reach):
    rounded, report = quantise_problem(problem, bits, (-reach, reach), (-reach, reach))
    step = reach / (2 ** (bits - 1) - 1)
    values = np.concatenate([rounded.h, rounded.edges[2]])
    assert np.abs(values).max() <= reach + 1e-12
    np.testing.assert_allclose(values / step, np.round(values / step), atol=1e-9)
    outside = np.concatenate([problem.h, problem.edges[2]])
    assert report["clip_fraction"] == pytest.approx((np.abs(outside) > reach).mean())
    assert rounded.layout == problem.layout


def test_fine_grids_change_nothing():
    problem = gaussian(10, 1.0, 0)
    rounded, report = quantise_problem(problem, 24)
    np.testing.assert_allclose(rounded.dense, problem.dense, atol=1e-6)
    assert report["clip_fraction"] == 0 and report["rms_error"] < 1e-6
    same, report = quantise_problem(problem, None)
    np.testing.assert_array_equal(same.dense, problem.dense)


def test_quantise_reports_and_keeps_true_energies():
    problem = gaussian(10, 1.0, 0)
    draws = Quantise("gibbs", bits=4, j_range=0.2).draw(problem, 50, beta=2.0, seed=0)
    np.testing.assert_allclose(draws.energies, problem.energies(draws.states))
    assert draws.beta == 2.0
    assert draws.info["quantise"]["clip_fraction_j"] > 0.3
    with pytest.raises(InputError, match="j_range"):
        Quantise("gibbs", j_range=(0.5, 1))


def test_correction_brings_a_wrong_machine_to_the_distribution():
    class Up(samplers.Sampler):
        """Always +1."""

        kind = "optimiser"

        def draw(self, problem, num_reads=1, beta=1.0):
            return np.ones((num_reads, problem.n))

    problem = gaussian(8, 0.5, 2)
    exact = samplers.get("exact").draw(problem, 50_000, seed=0).mean()
    corrected = Correction(Up(), 20)
    assert corrected.kind == "optimiser"
    found = corrected.draw(problem, 4000, seed=0).mean()
    assert np.abs(found - exact).max() < 0.07
    assert np.abs(random_start(problem, 4000, 20, seed=0).mean(axis=0) - exact).max() < 0.07
    assert (Correction(Up(), 0).draw(problem, 3).states == 1).all()


def test_cache_asks_once(tmp_path):
    class Counting(samplers.Sampler):
        """Counts its calls."""

        calls = 0

        def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
            Counting.calls += 1
            return samplers.get("gibbs", num_sweeps=2).draw(problem, num_reads, beta, seed=seed)

    problem = gaussian(6, 1.0, 0)
    cache = Cache(Counting(), size=2, folder=tmp_path / "answers")
    first = cache.draw(problem, 10, seed=1)
    again = cache.draw(samplers.Ising(problem.h, problem.J), 10, seed=1)
    np.testing.assert_array_equal(first.states, again.states)
    assert Counting.calls == 1 and again.info["cached"] and not first.info["cached"]
    again.states[:] = 1
    np.testing.assert_array_equal(cache.draw(problem, 10, seed=1).states, first.states)
    for num_reads, beta, seed in ((11, 1.0, 1), (10, 1.0, 2), (10, 2.0, 1)):
        assert not cache.draw(problem, num_reads, beta, seed=seed).info["cached"]
    assert Counting.calls == 4
    # the folder outlives the object
    fresh = Cache(Counting(), folder=tmp_path / "answers").draw(problem, 10, seed=1)
    assert Counting.calls == 4 and fresh.info["cached"]
    np.testing.assert_array_equal(fresh.states, first.states)
    for path in (tmp_path / "answers").iterdir():
        path.write_bytes(b"broken")
    redrawn = Cache(Counting(), folder=tmp_path / "answers").draw(problem, 10, seed=1)
    assert Counting.calls == 5 and not redrawn.info["cached"]
    np.testing.assert_array_equal(redrawn.states, first.states)


def test_samplers_that_share_a_cache_folder_do_not_share_answers(tmp_path):
    problem = gaussian(6, 1.0, 0)

    class Private(samplers.Sampler):
        def __init__(self, sign):
            self._sign = sign

        def _draw(self, request):
            return np.full((request.num_reads, request.problem.n), self._sign)

    different = [
        "gibbs", "gibbs?num_sweeps=3", "exact", Correction("gibbs", 1), Correction("gibbs", 2), Private(1), Private(-1),
        samplers.from_dimod(dimod.RandomSampler()), samplers.from_dimod(dimod.ExactSolver()),
        Quantise("gibbs", bits=3), Quantise("gibbs", bits=4),
    ]  # fmt: skip
    for sampler in different:
        cache = Cache(sampler, folder=tmp_path)
        assert not cache.draw(problem, 20, seed=1).info["cached"], sampler
        assert Cache(sampler, folder=tmp_path).draw(problem, 20, seed=1).info["cached"], sampler
    child = samplers.get("gibbs")
    cache = Cache(child, folder=tmp_path)
    child.num_sweeps = 77
    assert not cache.draw(problem, 20, seed=1).info["cached"]


def test_reweighted_reads_have_the_new_moments():
    problem = gaussian(8, 0.8, 3)
    drifted = samplers.Ising(problem.h + 0.1, problem.dense * 1.2)
    draws = samplers.get("exact").draw(problem, 40_000, seed=0)
    moved = reweight(draws, problem, drifted, 1.1)
    exact = samplers.get("exact").draw(drifted, 200_000, 1.1, seed=1)
    assert np.abs(moved.second_moments() - exact.second_moments()).max() < 0.04
    assert np.abs(draws.second_moments() - exact.second_moments()).max() > 0.1
    np.testing.assert_allclose(moved.energies, drifted.energies(draws.states))


def test_ahead_answers_with_stale_reads_of_the_right_weight():
    problem = gaussian(8, 0.8, 4)
    with Ahead("exact") as ahead:
        first = ahead.draw(problem, 20_000, seed=0)
        drifted = samplers.Ising(problem.h, problem.dense * 1.1)
        second = ahead.draw(drifted, 20_000, seed=1)
        exact = samplers.get("exact").draw(drifted, 200_000, seed=2).second_moments()
        assert not first.info["stale"] and second.info["stale"] and second.info["ess"] > 0.9
        assert np.abs(second.second_moments() - exact).max() < 0.04
        far = ahead.draw(samplers.Ising(problem.h, -4 * problem.dense), 20_000, seed=3)
        assert not far.info["stale"]
        assert not ahead.draw(gaussian(5, 1.0, 0), 100, seed=4).info["stale"]


def test_ahead_works_while_the_caller_does():
    gate, entered = threading.Event(), threading.Event()

    class Slow(samplers.Sampler):
        """Waits for the gate from its second call on."""

        calls = 0

        def draw(self, problem, num_reads=1, beta=1.0, *, seed=None):
            Slow.calls += 1
            if Slow.calls > 1:
                entered.set()
                gate.wait(10)
            return np.ones((num_reads, problem.n))

    with Ahead(Slow()) as ahead:
        ahead.draw(samplers.Ising([0.1], {}), 3)
        # the first draw came back although the next one is still held up
        assert entered.wait(10) and not gate.is_set()
        gate.set()
        assert ahead.draw(samplers.Ising([0.1], {}), 3).info["stale"]


def test_ahead_is_reproducible_and_passes_errors_on():
    problem = gaussian(6, 1.0, 0)

    def run():
        with Ahead("gibbs?num_sweeps=3") as ahead:
            return [ahead.draw(problem, 20, seed=s).states for s in range(3)]

    for one, two in zip(run(), run(), strict=True):
        np.testing.assert_array_equal(one, two)

    class Broken(samplers.Sampler):
        """Fails."""

        def draw(self, problem, num_reads=1, beta=1.0):
            raise RuntimeError("no helium")

    with Ahead(Broken()) as ahead, pytest.raises(RuntimeError, match="helium"):
        ahead.draw(problem, 2)
