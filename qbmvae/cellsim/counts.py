"""From bits to counts: negative binomial expression of genes that are on, and what a sequencer adds to it.

Parameters
----------
counts
    `(n_cells, n_genes)` CSR int32.
rng
    The generator.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def negative_binomial(mean: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return counts of mean `mean` and variance `mean + mean^2 / size`, int64 of the broadcast shape.

    p = size / (mean + size) in NumPy's parametrisation. A size above 1e6 is drawn as Poisson.

    Parameters
    ----------
    mean, size
        Of any shapes that broadcast; the size is the inverse of the dispersion.
    """
    mean, size = np.broadcast_arrays(np.asarray(mean, float), np.asarray(size, float))
    out = np.empty(mean.shape, dtype=np.int64)
    poisson = size > 1e6
    out[poisson] = rng.poisson(mean[poisson])
    rest = ~poisson
    out[rest] = rng.negative_binomial(size[rest], size[rest] / (size[rest] + mean[rest]))
    return out


def expressed(
    bits: np.ndarray, mean: np.ndarray, size: np.ndarray, scale: np.ndarray, rng: np.random.Generator
) -> sp.csr_matrix:
    """Return counts of the genes that are on, `(n_cells, n_genes)` CSR int32 with sorted indices.

    Parameters
    ----------
    bits
        `(n_cells, n_genes)`, 1 where a gene is on.
    mean, size
        Negative binomial parameters, `(n_genes,)`.
    scale
        What multiplies the mean in each cell and gene (library size, batch), `(n_cells, 1)` or `(n_cells, n_genes)`.
    """
    rows, columns = np.nonzero(bits)
    factor = np.broadcast_to(scale, bits.shape)[rows, columns]
    values = negative_binomial(mean[columns] * factor, size[columns], rng)
    matrix = sp.csr_matrix((values.astype(np.int32), (rows, columns)), shape=bits.shape)
    matrix.eliminate_zeros()
    return matrix


def add_ambient(
    counts: sp.csr_matrix, expected: np.ndarray, profile: np.ndarray, rng: np.random.Generator
) -> sp.csr_matrix:
    """Return counts with ambient molecules: Poisson(`expected[i]`) in cell i, spread over genes as `profile`.

    Parameters
    ----------
    expected
        Mean number of ambient molecules a cell, `(n_cells,)`.
    profile
        Share of each gene in the soup, `(n_genes,)`.
    """
    molecules = rng.poisson(expected)
    cumulative = np.cumsum(profile)
    genes = np.searchsorted(cumulative, rng.random(molecules.sum()) * cumulative[-1], side="right")
    cells = np.repeat(np.arange(len(molecules)), molecules)
    # duplicates are summed by the conversion
    soup = sp.coo_matrix((np.ones(len(genes), np.int32), (cells, np.minimum(genes, len(profile) - 1))), counts.shape)
    return sp.csr_matrix(counts + soup.tocsr())


def drop(counts: sp.csr_matrix, probability: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    """Return counts with each entry lost with its gene's `probability`, `(n_genes,)`.

    Parameters
    ----------
    probability
        Of each gene, `(n_genes,)`.
    """
    kept = counts.copy()
    kept.data[rng.random(len(kept.data)) < probability[kept.indices]] = 0
    kept.eliminate_zeros()
    return kept


def dropout_probability(mean: np.ndarray, settings: dict[str, float]) -> np.ndarray:
    """Return each gene's chance to be lost: one rate, or logistic in the log of its mean (as Splatter's).

    With `midpoint` and `slope`, P = 1 / (1 + exp(slope * (ln(mean) - midpoint))).
    """
    if "rate" in settings:
        return np.full(len(mean), float(settings["rate"]))
    logit = settings.get("slope", 1.0) * (np.log(np.maximum(mean, 1e-12)) - settings.get("midpoint", 0.0))
    return 1.0 / (1.0 + np.exp(np.clip(logit, -700, 700)))


def lognormal_factors(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Return log-normal factors of mean 1, `exp(sigma * N(0, 1) - sigma^2 / 2)`.

    Parameters
    ----------
    shape
        Of the result.
    sigma
        Standard deviation of the logarithm.
    """
    return np.exp(sigma * rng.standard_normal(shape) - sigma**2 / 2)
