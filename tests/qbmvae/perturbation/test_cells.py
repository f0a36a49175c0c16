from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from qbmvae.perturbation import diagnostics
from qbmvae.perturbation.cells import make_cells
from qbmvae.perturbation.linear import ridge


@given(st.integers(0, 1000), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_pseudobulk_is_the_control_mean_plus_the_shift(seed, n_cells):
    rng = np.random.default_rng(seed)
    x = sp.csr_matrix((rng.poisson(rng.gamma(0.5, 1, 30), (50, 30)) * 0.7).astype(np.float32))
    mean = np.asarray(x.mean(0)).ravel()
    delta = rng.normal(0, 0.3, 30)
    cells = make_cells(x, mean, delta, n_cells, rng=rng)
    assert cells.shape == (n_cells, 30) and cells.data.min(initial=1) > 0
    target = np.maximum(mean + delta, 0)
    kept = target * n_cells > 0.05
    np.testing.assert_allclose(np.asarray(cells.mean(0)).ravel()[kept], target[kept], rtol=1e-4, atol=1e-5)


def test_no_shift_keeps_the_share_of_expressing_cells():
    rng = np.random.default_rng(0)
    x = sp.csr_matrix(rng.poisson(0.5, (400, 20)).astype(np.float32))
    mean = np.asarray(x.mean(0)).ravel()
    same = make_cells(x, mean, np.zeros(20), 400, rng=rng)
    np.testing.assert_array_equal((same > 0).sum(0), (x > 0).sum(0))
    more = make_cells(x, mean, 0.5 * mean, 400, rng=rng)
    assert ((more > 0).sum(0) > (x > 0).sum(0)).all()


def test_a_plain_shift_adds_and_cuts():
    x = np.array([[0.0, 1.0, 2.0]])
    cells = make_cells(x, x[0], np.array([0.5, -2.0, 1.0]), 2, how="shift", rng=np.random.default_rng(0))
    np.testing.assert_allclose(cells.toarray(), [[0.5, 0, 3.0]] * 2)


def test_ridge_recovers_a_line_and_shrinks_noise():
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(80, 5)), rng.normal(size=(5, 3))
    exact = ridge(x, x @ weights + 2, np.arange(80))
    np.testing.assert_allclose(exact.predict(x), x @ weights + 2, atol=1e-3)
    noise = ridge(x, rng.normal(size=(80, 3)), np.arange(80))
    assert noise.penalty > exact.penalty and np.abs(noise.weights).max() < 0.2


def test_diagnostics_tell_a_collapse():
    rng = np.random.default_rng(0)
    spread, control = rng.normal(size=(30, 100)), rng.gamma(1, 1, 100)
    alike = np.ones((30, 100)) + 1e-3 * spread
    assert diagnostics.participation_ratio(spread) > 15
    assert diagnostics.participation_ratio(np.outer(np.arange(30), np.ones(100))) == pytest.approx(1)
    assert diagnostics.participation_ratio(np.ones((5, 4))) == 0
    report = diagnostics.collapse_report(alike, spread, control)
    assert report["predicted_similarity"] > 0.999 > report["observed_similarity"]
    points, share = diagnostics.principal_coordinates(spread)
    reference = PCA(2, svd_solver="full").fit(spread)
    np.testing.assert_allclose(share, reference.explained_variance_ratio_, rtol=1e-6)
    np.testing.assert_allclose(np.abs(points), np.abs(reference.transform(spread)), atol=1e-6)
    # two effects span one direction: all of the variance lies in the coordinates given
    assert diagnostics.principal_coordinates(spread[:2])[1].sum() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_rescaled_values_stay_within_those_of_the_controls(seed):
    rng = np.random.default_rng(seed)
    controls = sp.csr_matrix(
        np.where(rng.random((200, 40)) < 0.6, rng.gamma(1.0, 1.5, (200, 40)), 0).astype(np.float32)
    )
    mean = np.asarray(controls.mean(0), dtype=np.float64).ravel()
    # effects as large as the values themselves
    delta = rng.normal(0, 3, 40).clip(-8, controls.max() - mean)
    cells = make_cells(controls, mean, delta, 12, rng=rng)
    assert cells.data.min() >= 0 and cells.data.max() <= controls.max() * (1 + 1e-5)
    np.testing.assert_allclose(
        np.asarray(cells.mean(0)).ravel(), np.maximum(mean + delta, 0), rtol=1e-4, atol=0.05 / 12
    )
