from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.drug_response.metrics import all_metrics, concordance, mse, pearson, spearman, within_drug_pearson

numbers = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=25)


@settings(deadline=None, max_examples=100)
@given(numbers)
def test_concordance_equals_its_definition(pairs):
    observed, predicted = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    score = total = 0.0
    for i, j in itertools.combinations(range(len(pairs)), 2):
        if observed[i] != observed[j]:
            total += 1
            same = np.sign(observed[i] - observed[j]) * np.sign(predicted[i] - predicted[j])
            score += {1.0: 1.0, 0.0: 0.5, -1.0: 0.0}[same]
    found = concordance(observed, predicted)
    assert math.isnan(found) if total == 0 else found == pytest.approx(score / total)


def test_perfect_and_reversed_predictions():
    y = np.array([1.0, 3.0, 2.0, 5.0])
    for metric, best, worst in ((pearson, 1, -1), (spearman, 1, -1), (concordance, 1, 0)):
        assert metric(y, y) == pytest.approx(best) and metric(y, -y) == pytest.approx(worst)
    assert mse(y, y + 2) == 4


def test_constant_predictions_have_no_correlation():
    y = np.arange(4.0)
    assert math.isnan(pearson(y, np.ones(4))) and math.isnan(spearman(np.ones(4), y))
    assert concordance(y, np.ones(4)) == 0.5


def test_within_drug_correlation_ignores_potency():
    drug = np.array([0, 0, 0, 1, 1, 1, 2])
    line_effect = np.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 9.0])
    observed = 100.0 * drug + line_effect
    assert within_drug_pearson(observed, -500.0 * drug + line_effect, drug) == pytest.approx(1)
    assert math.isnan(within_drug_pearson(observed, 100.0 * drug, drug))
    assert set(all_metrics(observed, observed, drug)) == {
        "mse", "pearson", "spearman", "concordance", "pearson_within_drug",
    }  # fmt: skip
