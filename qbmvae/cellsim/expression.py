"""The paper's preprocessing: counts to 10,000 a cell, log(1 + x), scaled genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from samplers.errors import InputError, nearest

if TYPE_CHECKING:
    from anndata import AnnData


def counts_of(adata: AnnData, layer: str | None = None) -> sp.csr_matrix:
    """Return counts as CSR float64; raise `InputError` where they are not integers of at least 0.

    Raises
    ------
    InputError
        Where there is no such layer, or values are no counts.
    """
    if layer is not None and layer not in adata.layers:
        raise InputError(f"there is no layer {layer!r}{nearest(layer, adata.layers)}")
    matrix = sp.csr_matrix(adata.X if layer is None else adata.layers[layer], dtype=np.float64)
    wrong = np.flatnonzero(~((matrix.data >= 0) & (matrix.data == np.round(matrix.data))))
    if len(wrong):
        row = int(np.searchsorted(matrix.indptr, wrong[0], side="right") - 1)
        gene = adata.var_names[matrix.indices[wrong[0]]]
        raise InputError(
            f"{'X' if layer is None else f'layer {layer!r}'} holds {matrix.data[wrong[0]]:g} (cell "
            f"{adata.obs_names[row]!r}, gene {gene!r}): counts must be whole numbers of at least 0; name a layer of counts"
        )
    return matrix


def log_normalised(counts: sp.csr_matrix, target_sum: float = 1e4) -> sp.csr_matrix:
    """Return log(1 + x * target_sum / total) of each cell, CSR; a cell without counts stays zero."""
    total = np.asarray(counts.sum(axis=1)).ravel()
    scale = target_sum / np.where(total > 0, total, 1.0)
    out = sp.csr_matrix(sp.diags(scale) @ counts)
    np.log1p(out.data, out=out.data)
    return out


def scaled(expression: np.ndarray, max_value: float = 10.0) -> np.ndarray:
    """Return genes at mean 0 and standard deviation 1 (n - 1), values above `max_value` clipped, `(n_cells, n_genes)`."""
    centred = expression - expression.mean(axis=0)
    deviation = expression.std(axis=0, ddof=1)
    return np.minimum(centred / np.where(deviation > 0, deviation, 1.0), max_value)
