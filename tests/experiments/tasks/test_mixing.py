"""The court's scores against brute force, their nulls and ceilings, and how composition moves the batch scores."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from experiments.tasks.arrays import nearest_neighbors
from experiments.tasks.integration import BATCH, integration
from experiments.tasks.metrics import METRICS
from experiments.tasks.mixing import cilisi, closest_pair, kni, rare_recall, separated
from experiments.tasks.within_type import within_type


def blobs(shares, n=600, n_types=3, d=6, shift=0.0, seed=0):
    """Return cells of types that lie apart, with batches of given shares a type, `shares[type][batch]`."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(n_types), n // n_types)
    batch = np.concatenate([rng.choice(len(s), n // n_types, p=np.array(s) / np.sum(s)) for s in shares])
    centres = rng.normal(size=(n_types, d)) * 6
    x = centres[label] + rng.normal(size=(len(label), d)) + shift * batch[:, None]
    return x.astype(np.float32), batch, label


EQUAL = [[1, 1]] * 3
UNEQUAL = [[9, 1], [1, 9], [1, 1]]


def lisi_by_hand(distances, codes, perplexity):
    """Return the inverse Simpson index of one cell's neighbours: Gaussian weights whose entropy is log perplexity."""
    low, high = 1e-8, 1e8
    for _ in range(200):
        beta = np.sqrt(low * high)
        p = np.exp(-distances * beta)
        p /= p.sum()
        entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
        low, high = (beta, high) if entropy > np.log(perplexity) else (low, beta)
    return 1 / sum(p[codes == c].sum() ** 2 for c in np.unique(codes))


def test_cilisi_is_lisi_inside_types():
    x, batch, label = blobs(EQUAL, n=240, shift=0.4)
    scores = []
    for t in range(3):
        rows = np.flatnonzero(label == t)
        distances, near = NearestNeighbors(n_neighbors=len(rows) - 1).fit(x[rows]).kneighbors()
        k = min(90, len(rows)) - 1
        for i in range(len(rows)):
            value = lisi_by_hand(distances[i, :k], batch[rows][near[i, :k]], min(30, (k + 1) / 3))
            scores.append(value - 1)
    assert cilisi(x, batch, label) == pytest.approx(np.mean(scores), abs=0.02)


def test_kni_is_a_vote_of_the_other_batches():
    x, batch, label = blobs(UNEQUAL, n=300, shift=0.8)
    near = NearestNeighbors(n_neighbors=50).fit(x).kneighbors(return_distance=False)
    passed = 0
    for i, row in enumerate(near):
        others = label[row[batch[row] != batch[i]]]
        if (batch[row] == batch[i]).mean() < 0.8 and len(others):
            passed += np.bincount(others).argmax() == label[i]
    assert kni(batch, label, nearest_neighbors(x, 90)) == pytest.approx(passed / len(x))


def test_separation_is_leave_one_out_classification():
    x, _, label = blobs(EQUAL, n=300)
    x[label == 1] = x[label == 1] * 0.5 + x[label == 0].mean(axis=0) * 0.5
    rows = np.flatnonzero(label < 2)
    predicted = np.array(
        [
            KNeighborsClassifier(15)
            .fit(np.delete(x[rows], i, 0), np.delete(label[rows], i))
            .predict(x[rows[i : i + 1]])[0]
            for i in range(len(rows))
        ]
    )
    # types of equal size: the votes' weights are equal but for the cell left out
    assert separated(x, label, (0, 1)) == pytest.approx(balanced_accuracy_score(label[rows], predicted), abs=0.03)
    null = np.random.default_rng(0).permutation(label)
    assert separated(x, null, (0, 1)) == pytest.approx(0.5, abs=0.1)
    assert np.isnan(separated(x[:3], np.array([0, 0, 1]), (0, 1)))


def test_the_closest_pair_and_rare_types_are_found():
    x, batch, label = blobs(EQUAL, n=600)
    x[label == 2] += x[label == 0].mean(axis=0) - x[label == 2].mean(axis=0) + 2.0
    assert closest_pair(x, label, batch) == (0, 2)
    assert closest_pair(x[label == 1], label[label == 1], batch[label == 1]) is None
    rare = np.r_[np.flatnonzero(label == 0)[:10], np.flatnonzero(label != 0)]
    near = nearest_neighbors(x[rare], 90)
    by_hand = np.mean([np.mean(label[rare][near.indices[i, 1:10]] == 0) for i in range(10)])
    assert rare_recall(label[rare], near) == pytest.approx(by_hand)
    assert np.isnan(rare_recall(label, nearest_neighbors(x, 90)))


def test_conservation_inside_types_has_a_ceiling_and_a_null():
    x, batch, label = blobs(EQUAL, shift=2.0)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    assert within_type(x @ rotation, x, batch, label) == pytest.approx(1, abs=1e-6)
    # a batch's shift is no part of it: removing it costs nothing
    assert within_type(x - 2.0 * batch[:, None], x, batch, label) == pytest.approx(1, abs=1e-6)
    shuffled = x[np.random.default_rng(0).permutation(len(x))]
    assert abs(within_type(shuffled, x, batch, label)) < 0.1
    # a type on one point keeps nothing, whatever the scores of separation say
    collapsed = np.eye(3, 6, dtype=np.float32)[label] * 5
    assert within_type(collapsed, x, batch, label) == 0
    assert np.isnan(within_type(x[:30], x[:30], batch[:30], np.arange(30)))


@pytest.fixture(scope="module")
def perfect():
    """The scores of cells whose batches are mixed perfectly inside every type, of equal and of unequal composition."""
    found = {}
    for name, shares in (("equal", EQUAL), ("unequal", UNEQUAL)):
        runs = []
        for seed in range(3):
            x, batch, label = blobs(shares, seed=seed)
            rng = np.random.default_rng(seed)
            before = x + 5 * rng.normal(size=6)[None] * batch[:, None]
            runs.append(integration(x, batch, label, before))
        found[name] = {k: np.mean([r[k] for r in runs]) for k in runs[0]}
    return found


def test_the_list_says_which_way_composition_moves_each_score(perfect):
    for name in (
        *BATCH,
        "CiLISI",
        "KNI",
        "Total (unbiased)",
        "Batch correction (unbiased)",
        "PCR comparison within type",
    ):
        change = perfect["unequal"][name] - perfect["equal"][name]
        stated = METRICS["integration", name].composition
        assert (change < -0.05) == (stated == "lowers"), (name, change)
        assert (change > 0.05) == (stated == "raises"), (name, change)


def test_ten_starts_find_what_one_start_misses(perfect):
    for scores in perfect.values():
        assert scores["KMeans ARI (10 starts)"] == pytest.approx(1)
        assert scores["Total (10 starts)"] >= scores["Total"] - 1e-9
