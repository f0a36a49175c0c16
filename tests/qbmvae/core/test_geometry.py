"""The linear map of the default embedding: what it adds to distances, and when."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from qbmvae.core import geometry


def planted(seed=0, stretch=None, n_types=6, each=60, n_genes=50):
    """Return coordinates, expression and batches of types whose places in both differ by a stretch of the axes."""
    rng = np.random.default_rng(seed)
    types = np.repeat(np.arange(n_types), each)
    place = rng.normal(size=(n_types, 4)) * [4, 2, 1, 1]
    own = place[types] + 0.2 * rng.normal(size=(len(types), 4))
    expression = own @ rng.normal(size=(4, n_genes)) + 0.3 * rng.normal(size=(len(types), n_genes))
    y = own * (np.ones(4) if stretch is None else stretch)
    return torch.tensor(y).float(), torch.tensor(expression).float(), torch.tensor(rng.integers(2, size=len(y)))


def squared(x):
    return torch.cdist(x.double(), x.double()).square().numpy()


def test_squared_distances_gain_those_of_a_ridge_regression_on_expression():
    y, expression, batch = planted(stretch=[0.05, 1, 4, 4])
    found = geometry.fit(y, expression, batch)
    x, e = y.double().numpy(), expression.double().numpy()
    e = e / e.std(0)
    for code in (0, 1):
        e[batch == code] -= e[batch == code].mean(0)
    centred = x.copy()
    for code in (0, 1):
        centred[batch == code] -= centred[batch == code].mean(0)
    # an independent ridge on independent components
    components = PCA(20, svd_solver="full").fit_transform(e)
    penalty = geometry.RIDGE * (centred**2).sum(0).mean()
    part = x @ Ridge(alpha=penalty, fit_intercept=False).fit(centred, components).coef_.T
    part *= np.sqrt(x.var(0).sum() / part.var(0).sum())
    added = squared(y @ found) - squared(y)
    expected = squared(torch.tensor(part))
    weight = np.sqrt((added * expected).sum() / (expected**2).sum())
    assert min(abs(weight - w) for w in geometry.WEIGHTS) < 0.01
    np.testing.assert_allclose(added, weight**2 * expected, atol=0.02 * added.max())


def test_no_more_is_added_than_distances_need(monkeypatch):
    # dividing genes by their deviation leaves .97 of the planted places
    monkeypatch.setattr(geometry, "AGREEMENT", 0.96)

    def weight(stretch):
        y, expression, batch = planted(stretch=stretch)
        tried = []
        original = geometry.agreement
        try:
            geometry.agreement = lambda *given: tried.append(original(*given)) or tried[-1]
            geometry.fit(y, expression, batch)
        finally:
            geometry.agreement = original
        return len(tried), tried

    (few, agreeing), (many, torn) = weight(None), weight([0.05, 1, 4, 4])
    assert few == 1 and agreeing[0] > geometry.AGREEMENT
    # distances that lie come nearer with every weight
    assert many > few and torn[0] < geometry.AGREEMENT and np.all(np.diff(torn) > 0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_places_of_clusters_are_found_whatever_batches_add(seed):
    """A cluster of one batch alone lies where it would lie in the others."""
    rng = np.random.default_rng(seed)
    cluster, batch = np.arange(600) % 5, rng.integers(3, size=600)
    here = ~((cluster == 4) & (batch > 0))
    cluster, batch = cluster[here], batch[here]
    place, offset = rng.normal(size=(5, 4)), 3 * rng.normal(size=(3, 4))
    shares = torch.eye(5)[cluster]
    found = geometry._consensus(torch.tensor(place[cluster] + offset[batch]).float(), torch.tensor(batch), shares)
    np.testing.assert_allclose(found - found[0], place - place[0], atol=1e-3)


@pytest.mark.parametrize("n_cells, n_dimensions, n_genes", [(1, 3, 5), (2, 1, 1), (7, 3, 1), (40, 3, 5)])
def test_few_cells_and_cells_in_one_place(n_cells, n_dimensions, n_genes):
    rng = np.random.default_rng(0)
    y, e = (torch.tensor(rng.normal(size=(n_cells, k))).float() for k in (n_dimensions, n_genes))
    batch = torch.zeros(n_cells, dtype=torch.long)
    for a, b in ((y, e), (torch.zeros_like(y), e), (y, torch.zeros_like(e))):
        found = geometry.fit(a, b, batch)
        assert found.shape == (n_dimensions, n_dimensions) and found.isfinite().all()
        torch.testing.assert_close(found, found.T)
    torch.testing.assert_close(geometry.fit(torch.zeros_like(y), e, batch), torch.eye(n_dimensions))


def test_the_same_seed_gives_the_same_map():
    given = planted(stretch=[0.2, 1, 2, 1])
    assert torch.equal(geometry.fit(*given, seed=3), geometry.fit(*given, seed=3))


def test_agreement_is_the_weighted_correlation():
    rng = np.random.default_rng(0)
    a, b = (torch.cdist(x, x) for x in (torch.tensor(rng.normal(size=(5, 2))), torch.tensor(rng.normal(size=(5, 2)))))
    size = torch.tensor([1.0, 2, 3, 4, 5]).double()
    expected = []
    for k in range(5):
        others = np.arange(5) != k
        c = np.cov(a[k, others], b[k, others], aweights=size[others], ddof=0)
        expected.append(c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]))
    assert geometry.agreement(a, b, size) == pytest.approx(np.average(expected, weights=size))
    assert geometry.agreement(a, 3 * a + 0, size) == pytest.approx(1)
    assert geometry.agreement(a[:2, :2], b[:2, :2], size[:2]) == 1
