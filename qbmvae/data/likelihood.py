r"""Which likelihood do these counts ask for: is there an excess of zeros over the negative binomial's?

Counts of molecules (UMI) have no more zeros than a negative binomial allows (Svensson 2020, Nature Biotechnology 38, 147);
counts of reads do, since a molecule that was missed has none and one that was caught has many. In each batch and for each
gene the mean and the dispersion are taken by moments, at each cell's depth, and the expected share of zeros,
:math:`(1 + \phi \mu)^{-1/\phi}`, is compared with the observed one. Differences of composition raise the dispersion, and
with it the expected zeros, so that they do not count as an excess.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.sparse as sp

from qbmvae.data.counts import Counts

#: Excess share of zeros above which a batch's counts are zero-inflated. Of 15 public sets of counts the batches of UMI
#: counts lie between -.01 and .04, those of reads between .09 and .17.
THRESHOLD = 0.06
#: Cells that are looked at, cells that a batch must have among them, cells in which a gene must be seen, genes.
MOST_CELLS, FEWEST_CELLS, FEWEST_SEEN, MOST_GENES = 2000, 40, 5, 2000


def choose(counts: Counts, batch: np.ndarray, seed: int = 0) -> tuple[Literal["nb", "zinb"], str]:
    """Return the likelihood that suits some counts, "nb" or "zinb", and why, in words.

    Parameters
    ----------
    counts
        The cells' counts.
    batch
        Code of each cell's batch, `(n_cells,)`.
    seed
        Of the cells and genes that are looked at, where there are many.
    """
    rng = np.random.default_rng(seed)
    rows = _some(len(batch), counts.rows is None, rng)
    x = _read(counts, rows)
    codes, sizes = np.unique(batch[rows], return_counts=True)
    usable = codes[sizes >= FEWEST_CELLS]
    if not len(usable):
        return "nb", "too few cells to tell whether zeros are in excess"
    found = [zero_excess(x[batch[rows] == code], rng) for code in usable]
    excess = float(np.nanmax(found)) if np.isfinite(found).any() else 0.0
    kind: Literal["nb", "zinb"] = "zinb" if excess > THRESHOLD else "nb"
    share = f"{excess:.3f}".lstrip("0") if excess > 0 else "0"
    if kind == "zinb":
        return (
            kind,
            f"an excess of zeros: in one batch {share} more of them than a negative binomial explains, as in counts of reads",
        )
    return (
        kind,
        f"no excess of zeros: at most {share} more of them than a negative binomial explains, as in counts of molecules",
    )


def zero_excess(x: sp.csr_matrix, rng: np.random.Generator) -> float:
    """Return the observed less the expected share of zeros of one batch, a mean over genes; NaN where no gene is seen.

    Parameters
    ----------
    x
        Counts, `(n_cells, n_genes)`.
    rng
        Draws genes where there are more than 2,000.
    """
    depth = np.asarray(x.sum(axis=1), dtype=np.float64).ravel()
    genes = np.flatnonzero(x.getnnz(axis=0) >= FEWEST_SEEN)
    if len(genes) > MOST_GENES:
        genes = np.sort(rng.choice(genes, MOST_GENES, replace=False))
    if not len(genes):
        return float("nan")
    y = x[depth > 0][:, genes].toarray().astype(np.float64)
    depth = depth[depth > 0]
    mean = np.outer(depth / depth.mean(), y.mean(axis=0))
    dispersion = (((y - mean) ** 2).sum(axis=0) - mean.sum(axis=0)) / (mean**2).sum(axis=0)
    dispersion = np.maximum(dispersion, 1e-6)
    expected = np.exp(-np.log1p(dispersion * mean) / dispersion)
    return float(np.mean(y == 0) - expected.mean())


def _some(n: int, in_blocks: bool, rng: np.random.Generator) -> np.ndarray:
    """Return rows to look at, in order; in contiguous blocks of 50 where single rows are slow to read."""
    if n <= MOST_CELLS:
        return np.arange(n)
    if not in_blocks:
        return np.sort(rng.choice(n, MOST_CELLS, replace=False))
    starts = np.sort(rng.choice(n // 50, MOST_CELLS // 50, replace=False)) * 50
    return (starts[:, None] + np.arange(50)).ravel()


def _read(counts: Counts, rows: np.ndarray) -> sp.csr_matrix:
    if counts.rows is not None:
        return counts.rows[rows]
    assert counts.store is not None
    breaks = np.flatnonzero(np.diff(rows) > 1) + 1
    parts = [counts.store.read(int(r[0]), int(r[-1]) + 1) for r in np.split(rows, breaks) if len(r)]
    return sp.vstack([sp.csr_matrix((p.data, p.indices, p.indptr), (len(p), p.n_columns)) for p in parts]).tocsr()
