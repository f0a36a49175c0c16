"""Generation: do generated counts look like real ones, gene by gene, cell by cell, and type by type?"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from samplers.errors import InputError


def log_normalise(counts: Any, target: float = 1e4) -> np.ndarray:
    """Return log(1 + counts scaled to `target` a cell) as a dense float32 array; an empty cell stays zero."""
    dense = counts.toarray() if sp.issparse(counts) else np.asarray(counts)
    totals = dense.sum(axis=1, keepdims=True)
    return np.log1p(dense * (target / np.where(totals > 0, totals, 1))).astype(np.float32)


def predictive_checks(real: Any, generated: Any) -> dict[str, float]:
    """Compare moments of generated and real counts.

    Parameters
    ----------
    real, generated
        Counts, `(n_cells, n_genes)`, dense or sparse, the same genes.

    Returns
    -------
    dict
        "mean_r", "variance_r", "zeros_r": Pearson correlation over genes of log mean, log variance and the share of
        zeros; "zeros_error": mean absolute difference of that share; "depth_ks": Kolmogorov-Smirnov distance of the
        cells' totals; "correlation_r": Pearson correlation of the gene-gene correlations (50 most variable genes).

    Raises
    ------
    InputError
        Where both sides have different genes.
    """
    from scipy.stats import ks_2samp

    a, b = (x.tocsr() if sp.issparse(x) else sp.csr_matrix(np.asarray(x)) for x in (real, generated))
    if a.shape[1] != b.shape[1]:
        raise InputError(f"real cells have {a.shape[1]} genes, generated ones {b.shape[1]}: give the same genes")
    stats = [_moments(x) for x in (a, b)]
    (mean, var, zeros), (mean_g, var_g, zeros_g) = stats
    top = np.argsort(-(var / (mean + 1e-9)))[:50]
    gene_pairs = [np.corrcoef(log_normalise(x[:, top]).T)[np.triu_indices(len(top), 1)] for x in (a, b)]
    both = np.isfinite(gene_pairs[0]) & np.isfinite(gene_pairs[1])
    return {
        "mean_r": _pearson(np.log(mean + 1e-4), np.log(mean_g + 1e-4)),
        "variance_r": _pearson(np.log(var + 1e-4), np.log(var_g + 1e-4)),
        "zeros_r": _pearson(zeros, zeros_g),
        "zeros_error": float(np.abs(zeros - zeros_g).mean()),
        "depth_ks": float(ks_2samp(np.asarray(a.sum(axis=1)).ravel(), np.asarray(b.sum(axis=1)).ravel()).statistic),
        "correlation_r": _pearson(gene_pairs[0][both], gene_pairs[1][both]),
    }


def _moments(x: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean = np.asarray(x.mean(axis=0)).ravel()
    square = np.asarray(x.multiply(x).mean(axis=0)).ravel()
    return mean, np.maximum(square - mean**2, 0), 1 - x.getnnz(axis=0) / x.shape[0]


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def joint_pca(real: Any, generated: Any, n_components: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return both sets of counts, log-normalised, in the principal components of the real cells.

    Parameters
    ----------
    real, generated
        Counts, cells by genes.
    n_components, seed
        Of the PCA.
    """
    from sklearn.decomposition import PCA

    a, b = log_normalise(real), log_normalise(generated)
    pca = PCA(min(n_components, min(a.shape) - 1), random_state=seed).fit(a)
    return pca.transform(a), pca.transform(b)


def mmd(x: np.ndarray, y: np.ndarray, seed: int = 0, n_max: int = 1000) -> float:
    """Return the unbiased squared maximum mean discrepancy under a Gaussian kernel at the median distance.

    Gretton et al., JMLR 13, 723 (2012); about 0 for equal distributions, possibly a little below.

    Parameters
    ----------
    x, y
        `(n, d)` and `(m, d)`.
    seed
        Seed of the subsample.
    n_max
        Rows used of each side.
    """
    from scipy.spatial.distance import cdist

    x, y = _sample(x, n_max, seed), _sample(y, n_max, seed + 1)
    xx, yy, xy = (cdist(a, b, "sqeuclidean") for a, b in ((x, x), (y, y), (x, y)))
    width = float(np.median(xy))
    if width <= 0:
        return 0.0
    kxx, kyy, kxy = (np.exp(-d / width) for d in (xx, yy, xy))
    n, m = len(x), len(y)
    return float((kxx.sum() - n) / (n * (n - 1)) + (kyy.sum() - m) / (m * (m - 1)) - 2 * kxy.mean())


def two_sample_knn(x: np.ndarray, y: np.ndarray, k: int = 5, seed: int = 0, n_max: int = 1000) -> float:
    """Return how often a cell's side is guessed right from its k nearest neighbours: .5 where the sides are alike.

    Both sides are cut to the same size, so chance is .5; ties count half (Lopez-Paz and Oquab, ICLR 2017).

    Parameters
    ----------
    x, y
        Cells of both sides in one space.
    k, n_max, seed
        Neighbours, most cells of a side, seed of folds and subsample.
    """
    from sklearn.neighbors import NearestNeighbors

    size = min(len(x), len(y), n_max)
    both = np.vstack([_sample(x, size, seed), _sample(y, size, seed + 1)])
    side = np.repeat([0.0, 1.0], size)
    if size <= k:
        return float("nan")
    neighbours = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(both).kneighbors(return_distance=False)
    # a cell's own side offers one cell fewer; the threshold is the share expected by chance
    votes = side[neighbours].mean(axis=1)
    right = np.where(side == 1, votes > 0.5, votes < 0.5) + 0.5 * (votes == 0.5)
    return float(right.mean())


def _sample(x: np.ndarray, n: int, seed: int) -> np.ndarray:
    return x if len(x) <= n else x[np.random.default_rng(seed).choice(len(x), n, replace=False)]


def marker_recovery(real: Any, label: Any, generated: Any, n_markers: int = 20) -> dict[str, float]:
    """Return how many of the real types' markers are those of the generated cells assigned to them.

    Generated cells get the majority type of their 15 nearest real cells (principal components of the real cells);
    markers are the genes with the largest difference of mean log expression between a type and the rest.

    Parameters
    ----------
    real, label
        Counts and types of real cells.
    generated
        Counts of generated cells.
    n_markers
        Marker genes of a type.

    Returns
    -------
    dict
        "overlap": mean over types of the shared part of the top `n_markers`, a type that is never generated counting
        0; "share_error": total variation distance between real and assigned type shares.
    """
    from sklearn.neighbors import KNeighborsClassifier

    label = np.asarray(label).astype(str)
    a, b = joint_pca(real, generated)
    assigned = KNeighborsClassifier(min(15, len(a))).fit(a, label).predict(b)
    expression, made = log_normalise(real), log_normalise(generated)
    overlaps, shares = [], []
    for name in np.unique(label):
        inside, drawn = label == name, assigned == name
        shares.append(abs(inside.mean() - drawn.mean()))
        if inside.all():
            continue
        overlaps.append(0.0)
        if drawn.any() and not drawn.all():
            found = [set(_top(e, m, n_markers)) for e, m in ((expression, inside), (made, drawn))]
            overlaps[-1] = len(found[0] & found[1]) / len(found[0])
    return {"overlap": float(np.mean(overlaps)) if overlaps else float("nan"), "share_error": float(sum(shares) / 2)}


def _top(expression: np.ndarray, inside: np.ndarray, n: int) -> np.ndarray:
    return np.argsort(-(expression[inside].mean(axis=0) - expression[~inside].mean(axis=0)), kind="stable")[:n]


def generation(real: Any, generated: Any, label: Any = None, seed: int = 0) -> dict[str, float]:
    """Score generated counts against real ones by all of the above; the markers need the real cells' types.

    Parameters
    ----------
    real, generated
        Counts, cells by genes.
    label
        Types of the real cells.
    seed
        Of the subsamples.
    """
    x, y = joint_pca(real, generated, seed=seed)
    scores = {
        **predictive_checks(real, generated),
        "mmd": mmd(x, y, seed),
        "two_sample_knn": two_sample_knn(x, y, seed=seed),
    }
    if label is not None:
        found = marker_recovery(real, label, generated)
        scores |= {"marker_overlap": found["overlap"], "type_share_error": found["share_error"]}
    return scores
