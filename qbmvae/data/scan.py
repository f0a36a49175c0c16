"""One streaming pass over the counts: the audit, each cell's total, and what gene selection needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from qbmvae.data import audit, fingerprint
from qbmvae.data.stores import RowStore
from samplers.errors import InputError


@dataclass
class Survey:
    """What one pass found.

    Attributes
    ----------
    library
        Total counts of each cell, `(n_cells,)`.
    n_cells
        Cells of each batch, `(n_batches,)`.
    sums, squares
        Sums over the cells of each batch of counts normalised to 1e4 a cell, and of their squares,
        `(n_batches, n_genes)`.
    totals
        Raw counts of each gene, `(n_genes,)`.
    checksum
        Of the rows, see `fingerprint.of_rows`.
    """

    library: np.ndarray
    n_cells: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    totals: np.ndarray
    checksum: tuple[int, int, int]


def survey(
    store: RowStore,
    obs_names: Sequence[str],
    var_names: Sequence[str],
    batches: np.ndarray | None = None,
    *,
    counts: bool = True,
    moments: bool = True,
    name: str = "X",
    block_size: int = 4096,
) -> Survey:
    """Audit the rows of a store and sum them up, in bounded memory.

    Parameters
    ----------
    store
        The counts.
    obs_names, var_names
        Names for messages.
    batches
        Integer batch of each cell; one batch by default.
    counts
        Whether non-negative integers are needed.
    moments
        Whether to sum up what gene selection needs.
    name
        What messages call the matrix.
    block_size
        Rows at once.

    Raises
    ------
    InputError
        As `audit.matrix`, for the first block with a fault.
    """
    n, genes = store.shape
    codes = np.zeros(n, dtype=np.int64) if batches is None else np.asarray(batches)
    n_batches = int(codes.max(initial=0)) + 1
    width = genes if moments else 0
    keys = fingerprint.of_names(var_names)
    result = Survey(
        np.zeros(n, dtype=np.float32),
        np.bincount(codes, minlength=n_batches),
        np.zeros((n_batches, width)),
        np.zeros((n_batches, width)),
        np.zeros(genes),
        (0, 0, 0),
    )
    for start in range(0, n, block_size):
        stop = min(start + block_size, n)
        block = store.read(start, stop)
        x = sp.csr_matrix((block.data, block.indices, block.indptr), shape=(stop - start, genes))
        names = obs_names[start:stop]
        audit.matrix(x, counts=counts, name=name, obs_names=names, var_names=var_names, first_row=start)
        library = block.sums()
        result.library[start:stop] = library
        result.totals += np.asarray(x.sum(axis=0)).ravel()
        result.checksum = fingerprint.of_rows(x, keys, result.checksum)
        if not moments:
            continue
        scaled = sp.diags(1e4 / np.maximum(library, 1e-12)) @ x
        member = sp.csr_matrix(
            (np.ones(stop - start), (codes[start:stop], np.arange(stop - start))), (n_batches, stop - start)
        )
        result.sums += (member @ scaled).toarray()
        result.squares += (member @ scaled.multiply(scaled)).toarray()
    return result


def highly_variable_genes(found: Survey, var_names: Sequence[str], n_top_genes: int = 2000) -> pd.Index:
    """Return the genes of highest normalised dispersion, averaged over batches (Satija et al. 2015).

    Parameters
    ----------
    found
        The survey.
    var_names
        Names of the genes.
    n_top_genes
        How many.

    Notes
    -----
    Dispersion is variance over mean of the normalised counts; its logarithm is standardised within 20 bins of mean
    expression, as scanpy's flavour "seurat" does.
    """
    if n_top_genes < 1 or n_top_genes > len(var_names):
        raise InputError(f"n_top_genes must be between 1 and the number of genes, {len(var_names)}, not {n_top_genes}")
    scores = np.zeros((len(found.n_cells), len(var_names)))
    for b, n in enumerate(found.n_cells):
        mean = found.sums[b] / max(n, 1)
        variance = (found.squares[b] / max(n, 1) - mean**2) * n / max(n - 1, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            dispersion = np.log(np.where(mean > 0, variance / np.maximum(mean, 1e-12), np.nan))
        dispersion[~np.isfinite(dispersion)] = np.nan
        bins = pd.cut(np.log1p(mean), bins=20)
        table = pd.DataFrame({"bin": bins, "value": dispersion})
        grouped = table.groupby("bin", observed=True)["value"]
        centre, spread = grouped.transform("mean"), grouped.transform(lambda v: v.std(ddof=1))
        # a bin of one gene: its score is 1, as in scanpy
        alone = spread.isna()
        spread[alone], centre[alone] = centre[alone], 0.0
        scores[b] = ((table["value"] - centre) / spread).fillna(0).to_numpy()
    order = np.argsort(-scores.mean(0), kind="stable")[:n_top_genes]
    return pd.Index(np.asarray(var_names)[np.sort(order)])
