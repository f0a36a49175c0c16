from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, classification_report

from experiments.tasks.classification import (
    CLASSIFIERS,
    classification_scores,
    close_pair,
    cross_validate,
    folds,
    predict,
    rare_types,
)
from samplers.errors import InputError


@pytest.fixture(scope="module")
def cells():
    generator = np.random.default_rng(0)
    label = np.repeat(["a", "b", "c"], 60)
    x = generator.normal(size=(180, 4)) + 6 * np.eye(4)[np.repeat([0, 1, 2], 60)]
    return x, label


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_separate_types_are_read_and_shuffled_ones_are_not(cells, classifier):
    x, label = cells
    assert classification_scores(label, cross_validate(x, label, classifier))["f1"] > 0.95
    shuffled = np.random.default_rng(1).permutation(label)
    # chance is 1/3; 180 cells: three standard errors
    assert classification_scores(shuffled, cross_validate(x, shuffled, classifier))["accuracy"] < 1 / 3 + 3 * 0.035


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcde")), min_size=1, max_size=60))
@settings(deadline=None, max_examples=40)
def test_scores_equal_scikit_learn(pairs):
    label, predicted = (list(v) for v in zip(*pairs, strict=True))
    scores = classification_scores(label, predicted)
    report = classification_report(label, predicted, labels=sorted(set(label)), output_dict=True, zero_division=0.0)
    assert scores["f1"] == pytest.approx(report["macro avg"]["f1-score"])
    assert scores["f1_weighted"] == pytest.approx(report["weighted avg"]["f1-score"])
    assert scores["precision"] == pytest.approx(report["macro avg"]["precision"])
    assert scores["accuracy"] == pytest.approx(np.mean([a == b for a, b in pairs]))
    with np.testing.suppress_warnings() as quiet:
        quiet.filter(UserWarning)
        assert scores["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(label, predicted))


@given(st.lists(st.integers(0, 3), min_size=5, max_size=80), st.integers(2, 5), st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_folds_part_the_cells_and_keep_each_label_even(label, n_folds, seed):
    label = np.array(label)
    parts = list(folds(label, None, n_folds, seed))
    assert sorted(np.concatenate([test for _, test in parts]).tolist()) == list(range(len(label)))
    for train, test in parts:
        assert not set(train) & set(test)
    for value in np.unique(label):
        counts = [np.sum(label[test] == value) for _, test in parts]
        assert max(counts) - min(counts) <= 1


def test_held_out_groups_are_never_split():
    groups = np.random.default_rng(0).integers(0, 7, 100).astype(str)
    seen = []
    for train, test in folds(np.zeros(100), groups, 5, 0):
        assert not set(groups[train]) & set(groups[test])
        seen.extend(test)
    assert sorted(seen) == list(range(100))
    with pytest.raises(InputError, match="only 'x'"):
        list(folds(np.zeros(4), ["x"] * 4))


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_degenerate_inputs(classifier):
    x = np.zeros((20, 2))
    label = np.array(["a"] * 19 + ["alone"])
    assert (cross_validate(x, ["a"] * 20, classifier) == "a").all()
    assert classification_scores(label, cross_validate(x, label, classifier))["per_class"]["alone"]["recall"] == 0.0
    assert (predict(classifier, x, np.array(["a"] * 20), x) == "a").all()


def test_close_pair_and_rare_types():
    label = np.array(["a"] * 50 + ["b"] * 50 + ["rare"])
    predicted = label.copy()
    predicted[:10] = "b"
    pair = close_pair(label, predicted, ("a", "b"))
    assert pair["balanced_accuracy"] == pytest.approx(0.9)
    assert pair["low"] < 0.9 < pair["high"]
    rare = rare_types(label, predicted, clusters=np.zeros(101, dtype=int))
    assert list(rare) == ["rare"] and rare["rare"]["recall"] == 1.0
    assert rare["rare"]["cluster_f1"] == pytest.approx(2 / 102)
    with pytest.raises(InputError, match="'B'"):
        close_pair(label, predicted, ("a", "B"))
    with pytest.raises(InputError, match="no classifier"):
        predict("xgbost", np.zeros((2, 1)), np.array(["a", "b"]), np.zeros((1, 1)))
