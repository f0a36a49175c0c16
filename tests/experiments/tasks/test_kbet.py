from __future__ import annotations

import numpy as np
import pytest

from experiments.tasks.arrays import nearest_neighbors
from experiments.tasks.kbet import acceptance, kbet_per_label


def test_kbet_equals_scib_metrics(cells):
    import scib_metrics

    x, batch, label = cells
    graph = nearest_neighbors(x, 50)
    # its neighbours are approximate, and its eigensolver starts at random
    assert kbet_per_label(graph, batch, label) == pytest.approx(
        float(scib_metrics.kbet_per_label(graph, batch, label)), abs=0.03
    )
    assert kbet_per_label(graph, batch, label) == kbet_per_label(graph, batch, label)


def test_kbets_test_equals_scipys(cells):
    from scipy.stats import chisquare

    _, batch, _ = cells
    neighbours = np.random.default_rng(1).integers(0, 700, size=(40, 30))
    share = np.unique(batch, return_counts=True)[1] / 700
    values = [np.array([(batch[row] == v).sum() for v in np.unique(batch)]) for row in neighbours]
    expected = np.mean([chisquare(v, 30 * share).pvalue >= 0.05 for v in values])
    assert acceptance(neighbours, batch) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(kbet_per_label(nearest_neighbors(np.eye(9), 5), np.arange(9) % 2, np.arange(9) // 3))
