"""One streaming pass over the counts: the audit, each cell's total, and what gene selection needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from qbmvae import fingerprint
from qbmvae.data import audit
from qbmvae.data.gene_selection import Histograms
from qbmvae.data.stores import RowStore


@dataclass
class Survey:
    """What one pass found.

    Attributes
    ----------
    library
        Total counts of each cell, `(n_cells,)`.
    totals
        Raw counts of each gene, `(n_genes,)`.
    checksum
        Of the rows, see `fingerprint.of_rows`.
    histograms
        Of each gene's counts in each batch, where they were asked for.
    """

    library: np.ndarray
    totals: np.ndarray
    checksum: tuple[int, int, int]
    histograms: Histograms | None = None


def survey(
    store: RowStore,
    obs_names: Sequence[str],
    var_names: Sequence[str],
    batches: np.ndarray | None = None,
    *,
    counts: bool = True,
    histograms: bool = False,
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
    histograms
        Whether to count what gene selection needs.
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
    keys = fingerprint.of_names(var_names)
    tables = Histograms(int(codes.max(initial=0)) + 1, genes) if histograms else None
    result = Survey(np.zeros(n, dtype=np.float32), np.zeros(genes), (0, 0, 0), tables)
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
        if tables is not None:
            tables.add(block, codes[start:stop])
    return result
