"""Highly variable genes from one pass over the counts: the histogram of each gene's counts in each batch is all it takes.

The genes are those of scanpy's flavour "seurat_v3" (Stuart et al., Cell 177, 1888, 2019), batch by batch: the variance of the
counts, clipped at what a fit of variance on mean predicts, divided by the predicted variance. Clipping needs the fit, which
needs a first pass; a histogram answers both, so that cells on disk are read once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import pandas as pd

from qbmvae.core.csr import CsrBlock
from samplers.errors import InputError

#: Counts below this are counted in a table, larger ones (few) kept one by one.
SMALL = 32
#: Batches of fewer cells do not vote; widths of the fit, tried in turn where genes share their means.
FEWEST, SPANS = 20, (0.3, 0.6, 1.0)


class Histograms:
    """How often each gene has each count in each batch.

    Parameters
    ----------
    n_batches, n_genes
        Sizes.
    """

    def __init__(self, n_batches: int, n_genes: int):
        self.n_cells = np.zeros(n_batches, dtype=np.int64)
        self._table = np.zeros((n_batches, n_genes, SMALL), dtype=np.int32)
        self._large: list[np.ndarray] = []

    def add(self, block: CsrBlock, batches: np.ndarray) -> None:
        """Count rows in; `batches` is the batch of each, `(n_rows,)`."""
        self.n_cells += np.bincount(batches, minlength=len(self.n_cells))
        _tabulate(block.indptr, block.indices, block.data, batches, self._table)
        large = np.flatnonzero(block.data >= SMALL)
        if len(large):
            rows = np.searchsorted(block.indptr, large, side="right") - 1
            self._large.append(np.stack([batches[rows], block.indices[large], block.data[large].astype(np.int64)]))
            if len(self._large) > 64:
                self._large = [np.concatenate(self._large, axis=1)]

    def of(self, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the genes, counts and frequencies of a batch's non-zero counts, each `(n_distinct,)`."""
        genes, counts = np.nonzero(self._table[batch])
        large = np.concatenate(self._large, axis=1) if self._large else np.zeros((3, 0), dtype=np.int64)
        mine = large[1:, large[0] == batch]
        frequencies = np.concatenate([self._table[batch][genes, counts], np.ones(mine.shape[1], dtype=np.int64)])
        return np.concatenate([genes, mine[0]]), np.concatenate([counts, mine[1]]).astype(np.float64), frequencies


@numba.njit(cache=True)
def _tabulate(indptr, indices, data, batches, table):
    for i in range(len(indptr) - 1):
        b = batches[i]
        for k in range(indptr[i], indptr[i + 1]):
            value = int(data[k])
            if 0 < value < table.shape[2]:
                table[b, indices[k], value] += 1


def highly_variable_genes(found: Histograms, var_names: Sequence[str], n_top_genes: int = 2000) -> pd.Index:
    """Return the genes that vary most, in the order of `var_names`.

    Parameters
    ----------
    found
        The histograms, see `scan.survey`.
    var_names
        Names of the genes.
    n_top_genes
        How many; all where there are no more.

    Raises
    ------
    InputError
        For fewer than one gene, or genes that cannot be ranked because too many share their means.
    """
    if n_top_genes < 1:
        raise InputError(f"n_top_genes must be at least 1, not {n_top_genes}")
    names = pd.Index(np.asarray(var_names))
    if n_top_genes >= len(names):
        return names
    voters = np.flatnonzero(found.n_cells >= FEWEST)
    histograms = [(found.of(int(b)), int(found.n_cells[b])) for b in voters]
    if not len(voters):
        histograms = [(_pooled(found), int(found.n_cells.sum()))]
    for span in SPANS:
        try:
            scores = np.stack([_standardised_variance(*h, len(names), span) for h in histograms])
            break
        except ValueError:
            if span == SPANS[-1]:
                raise InputError(
                    f"{n_top_genes} of {len(names)} genes cannot be ranked by their variance: too many genes have equal means; "
                    "leave out genes found in a few cells, or keep all genes"
                ) from None
    ranks = np.argsort(np.argsort(-scores, axis=1), axis=1).astype(np.float32)
    votes = (ranks < n_top_genes).sum(0)
    ranks[ranks >= n_top_genes] = np.nan
    median = np.ma.median(np.ma.masked_invalid(ranks), axis=0).filled(np.nan)
    table = pd.DataFrame({"rank": median, "votes": votes})
    chosen = table.sort_values(["rank", "votes"], ascending=[True, False], na_position="last").index[:n_top_genes]
    return names[np.sort(chosen)]


def _pooled(found: Histograms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the histogram of all batches together."""
    parts = [found.of(b) for b in range(len(found.n_cells))]
    genes, counts, frequencies = (np.concatenate(column) for column in zip(*parts, strict=True))
    return genes, counts, frequencies


def _standardised_variance(
    histogram: tuple[np.ndarray, np.ndarray, np.ndarray], n: int, n_genes: int, span: float
) -> np.ndarray:
    """Return each gene's clipped variance over the variance that its mean predicts, `(n_genes,)`."""
    from skmisc.loess import loess

    genes, counts, frequencies = histogram

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(genes, values * frequencies, minlength=n_genes)

    mean = total(counts) / n
    variance = (total(counts**2) / n - mean**2) * n / max(n - 1, 1)
    varies = variance > 0
    predicted = np.zeros(n_genes)
    fit = loess(np.log10(mean[varies]), np.log10(variance[varies]), span=span, degree=2)
    fit.fit()
    predicted[varies] = fit.outputs.fitted_values
    deviation = np.sqrt(10**predicted)
    clipped = np.minimum(counts, (deviation * np.sqrt(n) + mean)[genes])
    return (n * mean**2 + total(clipped**2) - 2 * total(clipped) * mean) / ((n - 1) * deviation**2)
