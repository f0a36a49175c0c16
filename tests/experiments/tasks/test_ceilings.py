from __future__ import annotations

import numpy as np
import pytest

from experiments.tasks.ceilings import label_ceiling, pseudotime_ceiling, thin


def test_halves_add_up_and_are_independent():
    counts = np.random.default_rng(0).poisson(4.0, size=(500, 20))
    first, second = (half.toarray() for half in thin(counts, seed=1))
    assert np.array_equal(first + second, counts)
    # Poisson halves are independent: correlation within three standard errors of zero
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 3 / np.sqrt(counts.size)


def test_ceilings_follow_the_noise():
    generator = np.random.default_rng(0)
    time = generator.uniform(size=160)
    rates = np.exp(np.outer(time, generator.normal(size=50)) * 2)
    batch, label = np.arange(160) % 2, np.where(time > 0.5, "late", "early")
    deep, shallow = generator.poisson(8 * rates), generator.poisson(0.05 * rates)
    root = int(np.argmin(time))
    assert label_ceiling(deep, batch, label)["mean"] > label_ceiling(shallow, batch, label)["mean"] + 0.1
    good, poor = (pseudotime_ceiling(c, batch, root)["mean"] for c in (deep, shallow))
    assert good > 0.9 and (np.isnan(poor) or good > poor)


@pytest.mark.parametrize("batch", [np.zeros(60), np.arange(60)])
def test_degenerate_inputs(batch):
    counts = np.random.default_rng(0).poisson(1.0, size=(60, 10))
    assert np.isnan(label_ceiling(counts, batch, ["a"] * 60)["mean"])
