"""Counts that are moved keep their distribution's form, and the cells' mean is what was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from qbmvae.perturbation.boltzmann.recount import Rates, calibration, drawn, exchanged, moved, settled

N = 40_000


@pytest.mark.parametrize("theta", [0.7, None])
@pytest.mark.parametrize(("before", "after"), [(3.0, 1.2), (1.2, 3.0), (0.05, 2.0)])
def test_moved_counts_have_the_distribution_of_the_new_rates(theta, before, after):
    rng = np.random.default_rng(0)
    one, two = (
        Rates(np.full((N, 1), m), None if theta is None else np.full((N, 1), theta), None) for m in (before, after)
    )
    found = moved(drawn(one, rng), one, two, rng).ravel()
    known = stats.poisson(after) if theta is None else stats.nbinom(theta, theta / (theta + after))
    expected = N * known.pmf(np.arange(60))
    seen, live = np.bincount(found, minlength=60)[:60], expected > 5
    chi2 = ((seen - expected)[live] ** 2 / expected[live]).sum()
    assert chi2 < live.sum() + 5 * np.sqrt(2 * live.sum())


def test_equal_rates_change_nothing_and_dropouts_stay():
    rng = np.random.default_rng(0)
    mean, theta = rng.gamma(1, 2, (500, 8)), np.full((500, 8), 2.0)
    rates = Rates(mean, theta, None)
    x = drawn(rates, rng)
    np.testing.assert_array_equal(moved(x, rates, rates, rng), x)
    lost = Rates(np.full((N, 1), 4.0), np.full((N, 1), 50.0), np.full((N, 1), 0.3))
    more = moved(drawn(lost, rng), lost, lost.times(np.array([3.0])), rng)
    # nearly all zeros at a rate of 4 are dropouts
    assert abs((more == 0).mean() - 0.3) < 0.02 and more[more > 0].mean() == pytest.approx(12, rel=0.03)


def test_a_calibrated_mean_is_reached():
    rng = np.random.default_rng(0)
    rates = Rates(rng.gamma(2, 2, (400, 30)), np.full((400, 30), 3.0), None)
    target = np.log1p(rng.gamma(2, 2, 30))
    make = lambda factor: drawn(rates.times(factor), np.random.default_rng(1))  # noqa: E731
    factor = calibration(make, np.log1p, target)
    assert np.abs(np.log1p(make(factor)).mean(0) - target).max() < 0.1


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.integers(5, 60), st.floats(0.8, 1.25))
def test_settled_draws_have_the_mean_that_was_asked(seed, n, change):
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(0, 1, (n, 8)))
    x, scale = rng.poisson(rate).astype(np.float32), rng.uniform(0.5, 2, n)
    expected = np.log1p(scale[:, None] * x).mean(0) * change
    found = settled(settled(x, rate, scale, expected, rng), rate, scale, expected, rng)
    assert (found >= 0).all() and (found == np.round(found)).all()
    # one molecule in one cell changes the mean by log(1 + scale) / n at most; two rounds come within three of them
    gap = np.abs(np.log1p(scale[:, None] * found).mean(0) - expected)
    assert (gap < 3 * np.log1p(2) / n).all()
    same = settled(x, rate, scale, np.log1p(scale[:, None] * x).mean(0), rng)
    np.testing.assert_array_equal(same, x)


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_one_molecule_that_comes_and_one_that_goes_bring_the_mean_nearer(seed, n):
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(0, 1, (n, 30)))
    x, scale = rng.poisson(rate).astype(np.float32), rng.uniform(0.5, 2, n)
    mean = lambda counts: np.log1p(scale[:, None] * counts).mean(0)  # noqa: E731
    target = mean(x) + rng.uniform(-0.3, 0.3, 30) / n
    found = exchanged(x, rate, scale, target, rng)
    assert (found >= 0).all() and (np.abs(found - x).sum(0) <= 2).all() and (np.abs(found - x) <= 1).all()
    before, after = np.abs(mean(x) - target), np.abs(mean(found) - target)
    assert (after <= before + 1e-12).all()
    if n >= 20:
        # a molecule alone changes the mean by .4 / n at least
        assert after.mean() < 0.1 * before.mean()
