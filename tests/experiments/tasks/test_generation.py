from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from experiments.tasks.generation import generation, marker_recovery, mmd, predictive_checks, two_sample_knn
from samplers.errors import InputError


def _counts(seed: int, n: int = 400):
    rates = np.random.default_rng(7).gamma(0.6, 2, size=(3, 40))
    generator = np.random.default_rng(seed)
    label = generator.integers(0, 3, n)
    return generator.poisson(rates[label]), label.astype(str)


def test_equal_distributions_score_as_equal():
    (real, label), (again, _) = _counts(0), _counts(1)
    scores = generation(sp.csr_matrix(real), again, label)
    assert scores["mean_r"] > 0.99 and scores["zeros_error"] < 0.03 and scores["marker_overlap"] > 0.9
    # three standard errors of a share over 800 correlated votes, chance .5
    assert abs(scores["two_sample_knn"] - 0.5) < 0.06
    assert abs(scores["mmd"]) < 0.005


def test_wrong_distributions_are_found():
    real, label = _counts(0)
    shuffled = np.column_stack([np.random.default_rng(i).permutation(c) for i, c in enumerate(real.T)])
    scores = generation(real, shuffled, label)
    assert scores["mean_r"] > 0.99  # marginals are right
    assert scores["two_sample_knn"] > 0.7 and scores["mmd"] > 0.01 and scores["correlation_r"] < 0.5


def test_mmd_is_unbiased_at_zero():
    values = [mmd(*np.random.default_rng(s).normal(size=(2, 100, 3))) for s in range(40)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values)) + 1e-4
    assert mmd(np.ones((5, 2)), np.ones((6, 2))) == 0.0


def test_two_sample_knn_on_apart_and_few_cells():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(100, 2))
    assert two_sample_knn(x, x + 50) == 1.0
    assert np.isnan(two_sample_knn(x[:3], x[:3]))


def test_marker_recovery_of_a_missing_type():
    real, label = _counts(0)
    kept = label != "2"
    full, missing = marker_recovery(real, label, real), marker_recovery(real, label, real[kept])
    assert full["overlap"] > 0.95 and full["share_error"] < 0.05
    assert missing["overlap"] < 0.75 and missing["share_error"] > 0.25
    assert np.isnan(marker_recovery(real, ["a"] * len(real), real)["overlap"])


def test_different_genes_are_refused():
    with pytest.raises(InputError, match="40 genes"):
        predictive_checks(np.ones((4, 40)), np.ones((4, 39)))
