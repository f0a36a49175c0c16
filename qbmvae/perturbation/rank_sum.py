"""The Mann-Whitney test of a group of cells against controls, for every gene, on sparse columns.

The controls are sorted once; a group then costs its non-zeros times a binary search, so a screen of hundreds of
perturbations is one pass over its non-zeros. Asymptotic p-values with tie and continuity correction: those of
`scipy.stats.mannwhitneyu(method="asymptotic")`, two-sided.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
import scipy.sparse as sp


class SortedColumns(NamedTuple):
    """The non-zeros of each gene of the control cells, sorted, and each gene's sum of t^3 - t over tied non-zeros."""

    data: np.ndarray
    indptr: np.ndarray
    ties: np.ndarray
    n_cells: int


@numba.njit(cache=True)
def _sort_columns(data: np.ndarray, indptr: np.ndarray, ties: np.ndarray) -> None:
    for j in range(ties.shape[0]):
        start, stop = indptr[j], indptr[j + 1]
        column = np.sort(data[start:stop])
        data[start:stop] = column
        total = 0.0
        i = 0
        while i < column.shape[0]:
            k = i
            while k < column.shape[0] and column[k] == column[i]:
                k += 1
            t = float(k - i)
            total += t * t * t - t
            i = k
        ties[j] = total


@numba.njit(cache=True, error_model="numpy")
def _p_values(
    data: np.ndarray,
    indptr: np.ndarray,
    n1: int,
    control: np.ndarray,
    control_indptr: np.ndarray,
    control_ties: np.ndarray,
    n2: int,
    out: np.ndarray,
) -> None:
    n = n1 + n2
    for j in range(out.shape[0]):
        g = np.sort(data[indptr[j] : indptr[j + 1]])
        c = control[control_indptr[j] : control_indptr[j + 1]]
        zeros1, zeros2 = n1 - g.shape[0], n2 - c.shape[0]
        zeros = float(zeros1 + zeros2)
        tie = control_ties[j] + zeros * zeros * zeros - zeros
        # ranks of the group among all cells: zeros first, then each run of equal values
        rank_sum = zeros1 * (zeros + 1.0) / 2.0
        i = 0
        while i < g.shape[0]:
            value = g[i]
            k = i
            while k < g.shape[0] and g[k] == value:
                k += 1
            low = np.searchsorted(c, value, side="left")
            high = np.searchsorted(c, value, side="right")
            a, b = float(k - i), float(high - low)
            below = zeros + i + low
            rank_sum += a * (below + (a + b + 1.0) / 2.0)
            tie += (a + b) ** 3 - (a + b) - (b * b * b - b)
            i = k
        u1 = rank_sum - n1 * (n1 + 1.0) / 2.0
        u = max(u1, n1 * float(n2) - u1)
        variance = n1 * float(n2) / 12.0 * ((n + 1.0) - tie / (n * (n - 1.0)))
        if variance <= 0.0:
            out[j] = 1.0
        else:
            z = (u - n1 * float(n2) / 2.0 - 0.5) / math.sqrt(variance)
            out[j] = min(1.0, math.erfc(z / math.sqrt(2.0)))


def sort_columns(controls: sp.spmatrix | np.ndarray) -> SortedColumns:
    """Prepare the control cells, (n_cells, n_genes), values >= 0."""
    columns = sp.csc_matrix(controls)
    if columns is controls:
        columns = columns.copy()
    columns.eliminate_zeros()
    ties = np.zeros(columns.shape[1])
    _sort_columns(columns.data, columns.indptr, ties)
    return SortedColumns(columns.data, columns.indptr, ties, columns.shape[0])


def rank_sum_test(group: sp.spmatrix | np.ndarray, controls: SortedColumns) -> np.ndarray:
    """Return the two-sided p-value of each gene, (n_genes,) float64.

    Parameters
    ----------
    group
        Expression of the perturbed cells, (n_cells, n_genes), values >= 0.
    controls
        `sort_columns` of the control cells.
    """
    columns = sp.csc_matrix(group)
    if columns is group:
        columns = columns.copy()
    columns.eliminate_zeros()
    out = np.empty(columns.shape[1])
    _p_values(
        columns.data,
        columns.indptr,
        columns.shape[0],
        controls.data,
        controls.indptr,
        controls.ties,
        controls.n_cells,
        out,
    )
    return out
