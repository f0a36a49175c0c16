from __future__ import annotations

import numpy as np
import pytest

from experiments.tasks.novelty import knn_distance, novelty
from samplers.errors import InputError


def test_perfect_random_and_constant_scores():
    assert novelty([0, 1], [2, 3]) == {"auroc": 1.0, "average_precision": 1.0, "prevalence": 0.5, "fpr95": 0.0}
    x, y = np.random.default_rng(0).normal(size=(2, 4000))
    assert novelty(x, y)["auroc"] == pytest.approx(0.5, abs=0.02)
    assert novelty(x, y)["fpr95"] == pytest.approx(0.95, abs=0.02)
    assert novelty(np.ones(5), np.ones(5))["auroc"] == 0.5


def test_empty_or_infinite_scores_are_refused():
    with pytest.raises(InputError, match="0 novel"):
        novelty([1.0], [])
    with pytest.raises(InputError, match="1 novelty"):
        novelty([1.0], [np.inf])


def test_distance_grows_with_distance():
    train = np.random.default_rng(0).normal(size=(50, 2))
    near, far = knn_distance(train, np.array([[0.0, 0.0], [9.0, 9.0]]))
    assert near < far
