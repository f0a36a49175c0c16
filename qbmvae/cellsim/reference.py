"""Fit activations, means and dispersions of an on/off negative binomial to real cells, type by type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from qbmvae.cellsim.expression import counts_of
from samplers.errors import InputError, require

if TYPE_CHECKING:
    from anndata import AnnData

#: Size above which a negative binomial is a Poisson distribution.
POISSON = 1e7
#: Library sizes are kept as this many quantiles a type.
QUANTILES = 257


@dataclass(frozen=True)
class Reference:
    """What `fit_reference` learned; arrays have shape `(n_types, n_genes)`.

    Attributes
    ----------
    types, genes
        Names.
    activation, mean, size
        Of the gene's qubit and of its negative binomial when on, for a cell of average library size.
    library
        Quantiles of the library size relative to the type's mean, `(n_types, 257)`.
    """

    types: list[str]
    genes: list[str]
    activation: np.ndarray
    mean: np.ndarray
    size: np.ndarray
    library: np.ndarray

    def tables(self) -> tuple[dict[str, dict[str, Any]], np.ndarray, np.ndarray, np.ndarray]:
        """Return `{type: {gene: activation}}`, and activations, means and sizes over all qubits, type after type."""
        tables = {
            t: dict(zip(self.genes, row, strict=True)) for t, row in zip(self.types, self.activation, strict=True)
        }
        return tables, self.activation.ravel(), self.mean.ravel(), self.size.ravel()

    def library_factors(self, type_index: int, n_cells: int, rng: np.random.Generator) -> np.ndarray:
        """Return library sizes drawn from the type's quantiles, relative to their mean, `(n_cells,)`.

        Parameters
        ----------
        type_index
            Position of the cell type.
        n_cells
            How many.
        rng
            The generator.
        """
        grid = np.linspace(0, 1, self.library.shape[1])
        return np.interp(rng.random(n_cells), grid, self.library[type_index])


def fit_reference(
    adata: AnnData, cell_type_key: str = "cell_type", genes: Sequence[str] | int | None = None, layer: str | None = None
) -> Reference:
    """Return activations, means and dispersions whose marginals match real counts.

    In each cell type and gene the model is x = 0 where the gene is off and NB(mean mu * l, size r) where it is on, l the
    cell's relative library size. P(on), mu and r solve for the mean, the second moment and the fraction of zeros; where
    no P(on) reaches that fraction the nearest end is taken (P(on) = 1, or Poisson counts).

    Parameters
    ----------
    adata
        Counts in `.X` or a layer.
    cell_type_key
        Column of `.obs` with the cell types.
    genes
        Names to keep, or a number: the genes of highest mean. All by default.
    layer
        Layer with the counts.

    Raises
    ------
    InputError
        Where there is no such column, or a type has fewer than two cells.
    """
    require(cell_type_key, adata.obs, "obs has no column", adata.obs.columns)
    matrix = counts_of(adata, layer)
    total = np.asarray(matrix.sum(axis=1)).ravel()
    columns = _columns(adata, genes, matrix)
    matrix = matrix[:, columns].tocsr()
    labels = adata.obs[cell_type_key]
    types = sorted(labels.dropna().astype(str).unique())
    fits, libraries = [], []
    for name in types:
        rows = np.flatnonzero((labels.astype(str) == name).to_numpy() & labels.notna().to_numpy())
        if len(rows) < 2:
            raise InputError(f"cell type {name!r} has {len(rows)} cell in the reference: at least 2 are needed")
        part, library = matrix[rows], total[rows] / max(total[rows].mean(), 1e-12)
        mean = np.asarray(part.mean(axis=0)).ravel()
        second = np.asarray(part.multiply(part).mean(axis=0)).ravel()
        zeros = 1.0 - part.getnnz(axis=0) / len(rows)
        quantiles = np.quantile(library, np.linspace(0, 1, QUANTILES))
        quantiles /= np.trapezoid(quantiles, dx=1 / (QUANTILES - 1))
        fits.append(_solve(mean, second, zeros, quantiles))
        libraries.append(quantiles)
    activation, mean, size = (np.array(part) for part in zip(*fits, strict=True))
    return Reference(types, [str(g) for g in adata.var_names[columns]], activation, mean, size, np.array(libraries))


def _solve(
    mean: np.ndarray, second: np.ndarray, zeros: np.ndarray, library: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return activation, mu and r of each gene from its mean, second moment and fraction of zeros.

    With c2 the second moment of the library, 1 / r = (second - mean) p / (mean^2 c2) - 1 for a given p = P(on).
    """
    nodes = np.interp((np.arange(16) + 0.5) / 16, np.linspace(0, 1, len(library)), library)
    c2 = np.trapezoid(library**2, dx=1 / (len(library) - 1))
    expressed = mean > 0
    safe = np.where(expressed, mean, 1.0)
    excess = np.maximum(second - mean, 1e-12) / (safe**2 * c2)
    low = np.clip(1.0 / excess, 1e-9, 1.0)
    high = np.ones_like(low)

    def size_of(p: np.ndarray) -> np.ndarray:
        return 1.0 / np.maximum(excess * p - 1.0, 1.0 / POISSON)

    def too_many_zeros(p: np.ndarray) -> np.ndarray:
        r, mu = size_of(p), safe / p
        off = np.mean([np.exp(-r * np.log1p(mu * node / r)) for node in nodes], axis=0)
        return 1.0 - p + p * off > zeros

    # which way the fraction of zeros runs with p depends on the gene
    rising = ~too_many_zeros(low) & too_many_zeros(high)
    falling = too_many_zeros(low) & ~too_many_zeros(high)
    for _ in range(40):
        middle = (low + high) / 2
        to_high = np.where(rising, too_many_zeros(middle), ~too_many_zeros(middle))
        low, high = np.where(to_high, low, middle), np.where(to_high, middle, high)
    p = np.where(rising | falling, (low + high) / 2, 1.0)
    p = np.where(expressed, p, 0.0)
    p_used = np.where(expressed, p, 1.0)
    return 2 / np.pi * np.arcsin(np.sqrt(p)), safe / p_used, size_of(p_used)


def _columns(adata: AnnData, genes: Sequence[str] | int | None, matrix: sp.csr_matrix) -> np.ndarray:
    if genes is None:
        return np.arange(adata.n_vars)
    if isinstance(genes, int):
        if not 1 <= genes <= adata.n_vars:
            raise InputError(f"reference.genes is {genes}: the reference has {adata.n_vars} genes")
        return np.sort(np.argsort(-np.asarray(matrix.sum(axis=0)).ravel(), kind="stable")[:genes])
    for gene in genes:
        require(gene, adata.var_names, "the reference lacks gene")
    return adata.var_names.get_indexer(list(genes))
