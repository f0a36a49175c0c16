"""Scores of predicted cells as a distribution, not as a mean: functions of log1p-normalised cells, dense arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from qbmvae.perturbation.boltzmann.choice import energy_distance

#: Each score: whether more is better; None where it should equal that of the ceiling.
SCORES: dict[str, bool | None] = {
    "mmd": False,
    "energy": False,
    "frechet": False,
    "two_sample": False,
    "correlation_error": False,
    "responders_error": False,
}
N_COMPONENTS, N_CORRELATED, N_CELLS = 20, 50, 500


@dataclass(frozen=True)
class Space:
    """The fixed space in which all predictors are compared, made from observed cells alone.

    Attributes
    ----------
    mean, components
        Principal components of the observed cells, `(n_genes,)` and `(k, n_genes)`.
    width
        Squared width of the Gaussian kernel: the median squared distance of observed cells.
    genes
        The most variable genes, whose correlations are compared.
    """

    mean: np.ndarray
    components: np.ndarray
    width: float
    genes: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the coordinates of cells, `(n_cells, k)`."""
        return (x - self.mean) @ self.components.T


def fixed_space(observed: np.ndarray, n_components: int = N_COMPONENTS, seed: int = 0) -> Space:
    """Return the space of observed cells, `(n_cells, n_genes)`, perturbed and control ones together.

    Parameters
    ----------
    observed
        Log1p-normalised cells, perturbed and control ones.
    n_components, seed
        Of the space, and of the subsample that sets the kernel's width.
    """
    from sklearn.decomposition import PCA

    pca = PCA(min(n_components, min(observed.shape) - 1), random_state=seed, svd_solver="full").fit(observed)
    rows = np.random.default_rng(seed).permutation(len(observed))[:1000]
    z = pca.transform(observed[rows])
    distances = cdist(z, z, "sqeuclidean")[np.triu_indices(len(z), 1)]
    genes = np.argsort(-observed.var(0), kind="stable")[:N_CORRELATED]
    return Space(pca.mean_, pca.components_, float(np.median(distances)) or 1.0, genes)


def mmd(x: np.ndarray, y: np.ndarray, width: float) -> float:
    """Return the unbiased squared maximum mean discrepancy under exp(-|x-y|^2 / width); about 0 for equal distributions.

    Gretton et al., JMLR 13, 723 (2012).

    Parameters
    ----------
    x, y
        Cells in the fixed space, `(n, k)`.
    width
        Squared width of the kernel.
    """
    kxx, kyy, kxy = (np.exp(-cdist(a, b, "sqeuclidean") / width) for a, b in ((x, x), (y, y), (x, y)))
    n, m = len(x), len(y)
    return float((kxx.sum() - n) / (n * (n - 1)) + (kyy.sum() - m) / (m * (m - 1)) - 2 * kxy.mean())


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """Return the squared Frechet distance of the normal distributions with the moments of both sets of cells.

    |m - m'|^2 + tr(C + C' - 2 (C C')^1/2) (Dowson and Landau, 1982); biased upwards for few cells, as the ceiling is.
    """
    a, b = np.cov(x.T), np.cov(y.T)
    values = np.linalg.eigvals(a @ b)
    root = np.sqrt(np.clip(values.real, 0, None)).sum()
    return float(np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a) + np.trace(b) - 2 * root)


def two_sample(x: np.ndarray, y: np.ndarray, k: int = 5, seed: int = 0) -> float:
    """Return the accuracy with which k nearest neighbours tell held-out cells of both sides apart; .5 where they cannot.

    Five-fold cross-validation on as many cells of each side (Lopez-Paz and Oquab, ICLR 2017).

    Parameters
    ----------
    x, y
        Cells in the fixed space, `(n, k)`.
    k, seed
        Neighbours that vote; seed of folds and subsample.
    """
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    n, rng = min(len(x), len(y)), np.random.default_rng(seed)
    both = np.vstack([z[rng.permutation(len(z))[:n]] for z in (x, y)])
    side, folds = np.repeat([0, 1], n), StratifiedKFold(5, shuffle=True, random_state=seed)
    return float(cross_val_score(KNeighborsClassifier(k, algorithm="brute"), both, side, cv=folds).mean())


def correlation_error(x: np.ndarray, y: np.ndarray) -> float:
    """Return the mean absolute difference of the gene-gene correlations; a constant gene correlates with nothing."""
    pairs = np.triu_indices(x.shape[1], 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (np.nan_to_num(np.corrcoef(z.T))[pairs] for z in (x, y))
    return float(np.abs(a - b).mean())


def responders(cells: np.ndarray, controls: np.ndarray, perturbed: np.ndarray) -> float:
    """Return the share of cells on the perturbed side of a boundary between observed controls and perturbed cells.

    Parameters
    ----------
    cells
        To judge, in the fixed space, `(n, k)`.
    controls, perturbed
        Observed cells between which a logistic regression draws the boundary, each side with equal weight.
    """
    from sklearn.linear_model import LogisticRegression

    x = np.vstack([controls, perturbed])
    scale = x.std(0) + 1e-9
    side = np.repeat([0, 1], [len(controls), len(perturbed)])
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=500).fit(x / scale, side)
    return float(model.predict(cells / scale).mean())


def compare(
    predicted: np.ndarray, observed: np.ndarray, space: Space, controls: np.ndarray, boundary: np.ndarray, seed: int = 0
) -> dict[str, float]:
    """Return every score of `SCORES` of predicted against observed cells of one perturbation.

    Parameters
    ----------
    predicted, observed
        Log1p-normalised cells, `(n, n_genes)`; at most 500 of each are used.
    space
        From `fixed_space`.
    controls, boundary
        Observed control and perturbed cells that define who responds.
    seed
        Of the subsample.
    """
    rng = np.random.default_rng(seed)
    predicted, observed = (
        x if len(x) <= N_CELLS else x[rng.choice(len(x), N_CELLS, replace=False)] for x in (predicted, observed)
    )
    x, y = space(predicted), space(observed)
    share = [responders(z, space(controls), space(boundary)) for z in (x, y)]
    return {
        "mmd": mmd(x, y, space.width),
        "energy": energy_distance(x, y),
        "frechet": frechet(x, y),
        "two_sample": two_sample(x, y, seed=seed),
        "correlation_error": correlation_error(predicted[:, space.genes], observed[:, space.genes]),
        "responders_error": abs(share[0] - share[1]),
    }
