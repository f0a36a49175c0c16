from __future__ import annotations

import numpy as np
import pytest

import samplers
from samplers.diagnostics.mixing import callen_limit, callen_residuals, drift, nested_rhat, start_rhat, total_variation
from samplers.diagnostics.reference import reference


def gaussian(n: int, g: float, seed: int) -> samplers.Ising:
    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.normal(0, g / np.sqrt(n), (n, n)), 1)
    return samplers.Ising(rng.normal(0, 0.2, n), couplings + couplings.T)


def test_callen_residuals_are_standard_normal_for_exact_reads():
    problem = gaussian(12, 1.0, 0)
    z = np.array([callen_residuals(problem, samplers.get("exact").draw(problem, 500, seed=s)) for s in range(60)])
    # 60 independent values an entry: their mean square has a standard error of .18, over 144 entries far less
    assert np.square(z).mean() == pytest.approx(1.0, abs=0.06)
    assert np.abs(z.mean(axis=0)).max() < 5 / np.sqrt(60)
    passed = np.square(z).mean(axis=(1, 2)) < callen_limit(12)
    assert passed.mean() > 0.98


def test_callen_residuals_see_a_wrong_temperature_and_honour_weights():
    problem = gaussian(12, 1.0, 0)
    cold = samplers.get("exact").draw(problem, 4000, beta=1.3, seed=0)
    assert np.square(callen_residuals(problem, cold, 1.0)).mean() > 2 * callen_limit(12)
    moved = samplers.Draws(cold.states, 0.3 * problem.energies(cold.states), beta=1.0)
    assert np.square(callen_residuals(problem, moved)).mean() < callen_limit(12)


def test_drift_is_zero_for_stationary_reads_only():
    problem = gaussian(12, 1.0, 1)
    zs = [drift(problem, samplers.get("exact").draw(problem, 1000, seed=s), seed=s).z for s in range(30)]
    assert np.std(zs) == pytest.approx(1.0, abs=0.4) and abs(np.mean(zs)) < 0.8
    uniform = samplers.Draws(np.random.default_rng(0).choice([-1, 1], (1000, 12)).astype(np.int8))
    moved = drift(problem, uniform, seed=0)
    assert moved.z < -10 and moved.per_spin < -0.1
    frozen = samplers.Draws(np.ones((10, 2), dtype=np.int8))
    assert drift(samplers.Ising([-50.0, -50.0], {}), frozen, seed=0).z == 0


def test_nested_rhat():
    rng = np.random.default_rng(0)
    same = nested_rhat(rng.normal(size=(1000, 50)), rng.normal(size=(1000, 50)))
    assert (same < 1.01).all()
    apart = nested_rhat(rng.normal(size=(1000, 1)), rng.normal(1.0, 1.0, size=(1000, 1)))
    assert apart[0] == pytest.approx(np.sqrt(1.5), abs=0.05)
    constant = np.ones((10, 1))
    assert nested_rhat(constant, constant)[0] == 1 and nested_rhat(constant, -constant)[0] > 100


def test_start_rhat_tells_stuck_chains():
    ferromagnet = samplers.Ising(np.full(10, -0.05), {(i, j): -0.6 for i in range(10) for j in range(i)})
    up = np.ones((4, 10), dtype=np.int8)
    assert start_rhat(samplers.get("gibbs", num_sweeps=2), ferromagnet, up, 500, seed=0) > 1.2
    assert start_rhat(samplers.get("gibbs", num_sweeps=50), gaussian(10, 0.5, 0), up, 500, seed=0) < 1.02


def test_total_variation_of_exact_reads_is_the_floor():
    problem = gaussian(8, 1.0, 2)
    found, floor, spread = total_variation(problem, samplers.get("exact").draw(problem, 5000, seed=1), seed=0)
    assert abs(found - floor) < 4 * spread
    hot, *_ = total_variation(problem, samplers.Draws(samplers.get("exact").draw(problem, 5000, 0.2, seed=1).states))
    assert hot > 4 * floor


def test_references_agree():
    problem = gaussian(14, 1.0, 3)
    exact = reference(problem, seed=0)
    assert exact.method == "enumeration" and exact.num_reads == np.inf
    larger = gaussian(20, 1.0, 3)
    tempered = reference(larger, seed=0)
    assert tempered.method == "parallel tempering" and 500 < tempered.num_reads <= 2000
    other = samplers.get("population-annealing", num_sweeps=200).draw(larger, 4000, seed=1)
    assert tempered.error(other) < 1.3
    assert exact.error(samplers.get("exact").draw(problem, 3000, seed=2)) == pytest.approx(1.0, abs=0.3)
