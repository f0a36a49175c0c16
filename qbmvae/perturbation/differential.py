"""Differential expression of each perturbation against the controls, as cell-eval has it from pdex."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.stats import false_discovery_control

from qbmvae.perturbation.rank_sum import SortedColumns, rank_sum_test, sort_columns


class Controls(NamedTuple):
    """What every comparison with the controls shares: sorted columns and geometric means, (n_genes,)."""

    columns: SortedColumns
    means: np.ndarray


def prepare_controls(x: sp.csr_matrix | np.ndarray) -> Controls:
    """Prepare the log1p-normalised control cells, (n_cells, n_genes)."""
    return Controls(sort_columns(x), _geometric_mean(x))


def _geometric_mean(x: sp.csr_matrix | np.ndarray) -> np.ndarray:
    # in the dtype of x, as pdex computes it: the order of near-equal fold changes depends on it
    return np.expm1(np.asarray(x.mean(axis=0)).ravel())


def fold_change_and_fdr(group: sp.csr_matrix | np.ndarray, controls: Controls) -> tuple[np.ndarray, np.ndarray]:
    """Return |log2 fold change| and the Benjamini-Hochberg FDR of each gene, both (n_genes,) float32.

    A gene that is zero in the controls alone has an infinite fold change; zero in both, none.
    """
    p = np.clip(rank_sum_test(group, controls.columns), 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        fold = np.log2(_geometric_mean(group) / controls.means)
    fold[np.isnan(fold)] = 0.0
    return np.abs(fold).astype(np.float32), false_discovery_control(p).astype(np.float32)


def ranked_genes(fold: np.ndarray, fdr: np.ndarray, threshold: float = 0.05) -> np.ndarray:
    """Return the indices of the significant genes, largest |log2 fold change| first, ties in gene order.

    Parameters
    ----------
    fold
        Log2 fold changes, `(n_genes,)`.
    fdr
        False discovery rates, `(n_genes,)`.
    threshold
        Largest rate that counts as significant.
    """
    significant = np.flatnonzero(fdr < np.float32(threshold))
    return significant[np.argsort(-fold[significant], kind="stable")]
