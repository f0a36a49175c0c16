from __future__ import annotations

import numpy as np
import pytest

from experiments.tasks.clustering import agreement, best_cluster_f1, clustering


def test_separate_types_are_found_and_the_seed_repeats():
    generator = np.random.default_rng(0)
    label = np.repeat(["a", "b", "c"], 60)
    x = generator.normal(size=(180, 4)) + 20 * np.eye(4)[np.repeat([0, 1, 2], 60)]
    scores = clustering(x, label, seed=3)
    assert scores["ARI (best)"] == pytest.approx(1.0)
    assert scores == clustering(x, label, seed=3)


def test_agreement_of_random_and_equal_partitions():
    generator = np.random.default_rng(1)
    label = generator.integers(0, 3, 400)
    assert all(v == pytest.approx(1.0) for v in agreement(label, label).values())
    chance = agreement(generator.integers(0, 3, 400), label)
    assert abs(chance["ARI"]) < 0.03 and abs(chance["AMI"]) < 0.03


@pytest.mark.parametrize("case", ["constant", "one label", "all different"])
def test_degenerate_inputs(case):
    x = np.random.default_rng(2).normal(size=(40, 3))
    label = np.repeat(["a", "b"], 20)
    if case == "constant":
        x[:] = 0
    elif case == "one label":
        label[:] = "a"
    else:
        label = np.arange(40).astype(str)
    assert all(np.isfinite(v) for v in clustering(x, label).values())


def test_best_cluster_f1_by_hand():
    label = ["a", "a", "a", "b", "b"]
    assert best_cluster_f1([0, 0, 1, 1, 1], label, "a") == pytest.approx(0.8)
    assert best_cluster_f1([0, 0, 0, 1, 1], label, "a") == 1.0
    assert best_cluster_f1([0] * 5, label, "missing") == 0.0
