from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.comparison.statistics import _mean_of_means, interval, mean_table, paired, score_grid, verdict


def _results(rows):
    frame = pd.DataFrame(rows, columns=["dataset", "model", "seed", "value"])
    fixed = frame.model == "pca"
    return frame.assign(task="integration", metric="Total", epoch=-1, uses_labels=False, deterministic=fixed)


def test_interval_equals_scipy():
    x = np.random.default_rng(0).normal(size=7)
    expected = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert interval(x)[1:] == pytest.approx((expected.low, expected.high))
    assert interval([1.0])[1:] == (float("-inf"), float("inf"))
    assert all(np.isnan(interval([])))


def test_the_mean_over_sets_covers_the_truth():
    """95 % intervals of a true difference of .1 hold it in 95 % of 400 draws, within three standard errors."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        # two data sets with unequal spread, five seeds each
        whole = _mean_of_means([0.1 + rng.normal(0, noise, 5) for noise in (0.1, 0.3)], 0.95)
        covered += whole["low"] <= 0.1 <= whole["high"]
    assert covered / 400 == pytest.approx(0.95, abs=3 * np.sqrt(0.95 * 0.05 / 400))


def test_a_model_without_randomness_stands_for_every_seed():
    rows = [("x", "ours", s, 0.5 + s) for s in range(3)] + [("x", "pca", 0, 0.1)]
    grid = score_grid(_results(rows), "integration", "Total")
    assert grid["pca"].tolist() == [0.1] * 3
    frame = paired(grid, "ours")
    assert frame.loc[("pca", "x")].difference == pytest.approx(1.4) and frame.loc[("pca", "x")].pairs == 3
    mean, deviation = mean_table(grid)
    assert mean.loc["ours", "mean"] == pytest.approx(1.5) and deviation.loc["pca", "x"] == 0


def test_a_random_model_of_one_seed_is_compared_with_that_seed():
    rows = [("x", "ours", s, 0.5 + s) for s in range(3)] + [("x", "other", 1, 0.1)]
    frame = paired(score_grid(_results(rows), "integration", "Total"), "ours")
    assert frame.loc[("other", "x")].difference == pytest.approx(1.4) and frame.loc[("other", "x")].pairs == 1
    assert frame.loc[("other", "x")].high == float("inf")


def test_a_model_that_lacks_a_set_has_no_mean_over_sets():
    rows = [("x", "ours", 0, 0.5), ("y", "ours", 0, 0.7), ("x", "other", 0, 0.9)]
    mean, _ = mean_table(score_grid(_results(rows), "integration", "Total"))
    assert np.isnan(mean.loc["other", "mean"]) and mean.loc["ours", "mean"] == pytest.approx(0.6)


def test_verdicts():
    assert [verdict(*v) for v in ((1, 0.5, 2), (1, -0.5, 2), (-1, -2, -0.5), (np.nan,) * 3)] == [
        "holds",
        "open",
        "fails",
        "no data",
    ]
