"""Linear methods: ridge regression with the penalty that predicts held-out groups best, principal components."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

PENALTIES = np.geomspace(1e-3, 1e4, 22)
#: Share of the best penalty's gain that predictors of shifts keep: a little less shrinkage tells perturbations apart better.
KEPT_GAIN = 0.985


class Ridge(NamedTuple):
    """y = (x - mean) @ weights + intercept; weights (n_inputs, n_outputs)."""

    mean: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray
    penalty: float

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return (n, n_outputs)."""
        return (x - self.mean) @ self.weights + self.intercept


def ridge(
    x: np.ndarray, y: np.ndarray, folds: np.ndarray, penalties: np.ndarray = PENALTIES, *, kept_gain: float = 1.0
) -> Ridge:
    """Fit with an unpenalised intercept.

    Parameters
    ----------
    x, y
        (n, n_inputs) and (n, n_outputs).
    folds
        (n,) labels: penalties are judged by squared error over left-out folds; with a single fold the middle of
        `penalties` is taken.
    kept_gain
        Take the least penalty that keeps this share of the best one's gain over the mean: squared error rewards
        shrinking the outputs towards each other, telling them apart does not.
    penalties
        To choose from.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    names = np.unique(folds)
    penalty = float(penalties[len(penalties) // 2])
    if len(names) > 1:
        # ten folds at most: the left-out groups of many perturbations are dealt in turn
        dealt = np.searchsorted(names, folds) % min(len(names), 10)
        loss = np.zeros(len(penalties))
        for fold in np.unique(dealt):
            out = dealt == fold
            loss += _path_errors(x[~out], y[~out], x[out], y[out], penalties)
        flat = sum(np.square(y[dealt == f] - y[dealt != f].mean(0)).sum() for f in np.unique(dealt))
        enough = flat - loss >= kept_gain * (flat - loss.min())
        penalty = float(penalties[enough.argmax()] if loss.min() < flat else penalties[-1])
    mean, intercept = x.mean(0), y.mean(0)
    u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    weights = vt.T @ ((s / (s**2 + penalty))[:, None] * (u.T @ (y - intercept)))
    return Ridge(mean, weights, intercept, penalty)


def _path_errors(
    x: np.ndarray, y: np.ndarray, x_out: np.ndarray, y_out: np.ndarray, penalties: np.ndarray
) -> np.ndarray:
    mean, intercept = x.mean(0), y.mean(0)
    u, s, vt = np.linalg.svd(x - mean, full_matrices=False)
    projected, target, scores = u.T @ (y - intercept), y_out - intercept, (x_out - mean) @ vt.T
    # |S D P - T|^2 expanded, so that a penalty (the diagonal D) costs nothing in the number of outputs
    square = (scores.T @ scores) * (projected @ projected.T)
    cross = ((scores.T @ target) * projected).sum(1)
    shrink = s / (s**2 + penalties[:, None])
    return np.square(target).sum() - 2 * shrink @ cross + np.einsum("pi,ij,pj->p", shrink, square, shrink)


def principal_components(
    x: sp.csr_matrix | np.ndarray, n_components: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return components (k, n_genes) scaled by their standard deviations' signs fixed, and the mean (n_genes,).

    Works on the Gram matrix of genes in float64 up to 4,000 genes, beyond by a randomised SVD that never centres a
    sparse matrix in memory.

    Parameters
    ----------
    x
        `(n_cells, n_genes)`.
    n_components
        At most as many.
    seed
        Of the randomised decomposition.
    """
    mean = np.asarray(x.mean(axis=0), dtype=np.float64).ravel()
    k = max(1, min(n_components, x.shape[0] - 1, x.shape[1]))
    if x.shape[1] <= 4000:
        gram = np.asarray((x.T @ x).todense() if sp.issparse(x) else x.T @ x, dtype=np.float64)
        gram -= x.shape[0] * np.outer(mean, mean)
        _, vectors = np.linalg.eigh(gram)
        components = vectors[:, ::-1][:, :k].T
    else:
        components = _randomised(x, mean, k, seed)
    signs = np.sign(components[np.arange(k), np.abs(components).argmax(1)])
    return components * signs[:, None], mean


def _randomised(x: sp.csr_matrix | np.ndarray, mean: np.ndarray, k: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)

    def forward(v: np.ndarray) -> np.ndarray:
        return x @ v - mean @ v

    def back(u: np.ndarray) -> np.ndarray:
        return x.T @ u - np.outer(mean, u.sum(0))

    q = np.linalg.qr(forward(rng.normal(size=(x.shape[1], k + 10))))[0]
    for _ in range(4):
        q = np.linalg.qr(forward(np.linalg.qr(back(q))[0]))[0]
    return np.linalg.svd(back(q).T, full_matrices=False)[2][:k]
