from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from qbmvae.core.labels.targets import combined, fit_softmax, neighbour_votes, soft_targets


def test_votes_are_those_of_a_distance_weighted_classifier():
    rng = np.random.default_rng(0)
    labelled, cells = rng.normal(size=(60, 3)), rng.normal(size=(40, 3))
    codes = rng.integers(4, size=60)
    ours = neighbour_votes(cells, labelled, codes, 4)
    theirs = KNeighborsClassifier(15, weights="distance").fit(labelled, codes).predict_proba(cells)
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
    # on top of a labelled cell its label wins
    assert (neighbour_votes(labelled, labelled, codes, 4).argmax(1) == codes).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(0, 30), st.integers(1, 5), st.integers(0, 2**31))
def test_targets_sum_to_one_and_keep_the_known_labels(known, unknown, n_labels, seed):
    rng = np.random.default_rng(seed)
    cells = rng.integers(3, size=(known + unknown, 2)).astype(float)
    codes = np.concatenate([rng.integers(n_labels, size=known), np.full(unknown, -1)])
    targets = soft_targets(cells, codes, n_labels)
    np.testing.assert_allclose(targets.sum(1), 1)
    assert (targets[:known].argmax(1) == codes[:known]).all()
    assert (targets[:known].max(1) == 1).all()
    # a label that no neighbour has gets nothing
    assert not targets[:, np.setdiff1d(np.arange(n_labels), codes)].any()


@pytest.mark.parametrize("each", [3, 5, 20, 100])
def test_the_confidence_of_targets_is_their_accuracy(each):
    """With few labelled cells of a label, neighbours of other labels have no vote: fifteen of them were too many."""
    gaps = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        truth = np.repeat(np.arange(6), 200)
        cells = (2 * rng.normal(size=(6, 10)))[truth] + rng.normal(size=(1200, 10))
        shown = np.concatenate([rng.choice(np.flatnonzero(truth == k), each, replace=False) for k in range(6)])
        codes = np.full(1200, -1)
        codes[shown] = truth[shown]
        targets, rest = soft_targets(cells, codes, 6), codes < 0
        gaps.append(targets[rest].max(1).mean() - (targets[rest].argmax(1) == truth[rest]).mean())
    # with fifteen neighbours and 3 or 5 cells a label it was -.45 and -.31
    assert abs(np.mean(gaps)) < 0.06


def test_the_softmax_is_the_penalised_multinomial_regression():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 5)), rng.integers(3, size=300)
    x[:, 0] += y
    penalty = 1e-2
    weight, constant = fit_softmax(torch.from_numpy(x), torch.eye(3)[y], penalty)
    other = LogisticRegression(C=1 / (2 * penalty * len(x)), tol=1e-8, max_iter=2000).fit(x, y)
    ours = torch.softmax(torch.from_numpy(x).float() @ weight.T + constant, 1).numpy()
    np.testing.assert_allclose(ours, other.predict_proba(x), atol=2e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.lists(st.integers(2, 4), min_size=1, max_size=3), st.integers(0, 2**31))
def test_combinations_sum_to_each_columns_probabilities(n, sizes, seed):
    rng = np.random.default_rng(seed)
    columns = [rng.dirichlet(np.full(k, 0.3), n) for k in sizes]
    # columns that every cell is labelled in: hard combinations
    hard = [np.eye(k)[rng.integers(k, size=n)] for k in sizes]
    joint = combined(hard).reshape(n, *sizes)
    np.testing.assert_array_equal(joint.sum(tuple(range(2, len(sizes) + 1))), hard[0])
    soft = combined(columns)
    np.testing.assert_allclose(soft.sum(1), 1)
    # rare combinations alone are left out
    left = soft.sum(0) == 0
    product = np.stack([_outer(rows) for rows in zip(*columns, strict=True)])
    assert (product.sum(0)[left] < 0.5).all()


def _outer(rows):
    found = rows[0]
    for row in rows[1:]:
        found = np.multiply.outer(found, row).ravel()
    return found
