from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.drug_response.metrics import (
    all_metrics,
    concordance,
    mse,
    pearson,
    spearman,
    within_drug_pearson,
    within_drug_spearman,
)

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
    # one value for all, whose drugs' means differ by rounding alone
    assert math.isnan(within_drug_pearson(observed, np.full(len(drug), 0.1), drug))
    assert set(all_metrics(observed, observed, drug)) == {
        "mse", "pearson", "spearman", "concordance", "pearson_within_drug", "spearman_within_drug",
    }  # fmt: skip


def test_within_drug_spearman_ignores_potency_and_scale():
    drug = np.array([0, 0, 0, 1, 1, 1, 2])
    line_effect = np.array([1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 9.0])
    observed = 100.0 * drug + line_effect
    predicted = -500.0 * drug + line_effect**3
    assert within_drug_spearman(observed, predicted, drug) == pytest.approx(1)
    assert within_drug_spearman(observed, -predicted, drug) == pytest.approx(-1)
    assert math.isnan(within_drug_spearman(observed, 0.1 * drug, drug))
    assert math.isnan(within_drug_spearman(observed, np.full(len(drug), 0.1), drug))


def test_means_of_drugs_and_lines_recover_an_additive_truth(files):
    from dataclasses import replace

    from experiments.drug_response.config import Tables, read_data
    from experiments.drug_response.controls import MEANS, fit_control
    from qbmvae.drug_response import split

    data = read_data(Tables(files["ic50"], files["features"], files["drugs"]))
    rng = np.random.default_rng(0)
    effects = rng.normal(size=len(data.molecules))[data.drug] + rng.normal(size=len(data.line_ids))[data.line]
    additive = replace(data, values=effects)
    parts = split(additive, seed=0)
    rows = parts.test
    errors = {n: mse(additive.response[rows], fit_control(c, additive, parts, 0)(rows)) for n, c in MEANS.items()}
    assert errors["drug_and_line_mean"] < 0.5 * min(errors["drug_mean"], errors["line_mean"])
