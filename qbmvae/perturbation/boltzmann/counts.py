"""Counts of a user's AnnData, checked, without anything else of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


def count_matrix(adata: AnnData, which: str = "data") -> AnnData:
    """Return cells with X as CSR float32 counts, without anything else of the user's object; fractions are refused.

    Raises
    ------
    InputError
        Where X is missing, or holds other than counts.
    """
    import anndata as ad

    if adata.X is None:
        raise InputError(f"{which}: X is empty: put counts there")
    x = sp.csr_matrix(adata.X, dtype=np.float32)
    wrong = np.flatnonzero((x.data < 0) | (np.modf(x.data)[0] != 0) | ~np.isfinite(x.data))
    if len(wrong):
        cell = int(np.searchsorted(x.indptr, wrong[0], side="right") - 1)
        raise InputError(
            f"{which}: the preset 'boltzmann' models counts, but X holds {x.data[wrong[0]]:.4g} in cell "
            f"{adata.obs_names[cell]!r}: give counts in X"
        )
    return ad.AnnData(x, obs=adata.obs[[]].copy(), var=adata.var[[]].copy())


def normalised(counts: sp.csr_matrix | np.ndarray, target_sum: float) -> np.ndarray:
    """Return log1p expression of counts `(n_cells, n_genes)`, each cell's total scaled to `target_sum`, dense float64."""
    x = np.asarray(counts if isinstance(counts, np.ndarray) else counts.todense(), dtype=np.float64)
    return np.log1p(x * (target_sum / np.maximum(x.sum(1, keepdims=True), 1e-12)))
