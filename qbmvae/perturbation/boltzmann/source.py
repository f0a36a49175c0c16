"""Control cells as the source of predicted ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp

from qbmvae.perturbation.boltzmann import recount
from qbmvae.perturbation.boltzmann.counts import normalised
from qbmvae.perturbation.boltzmann.options import BoltzmannOptions

if TYPE_CHECKING:
    from anndata import AnnData


#: What brings a draw's mean to what was asked: many molecules, then single ones. Each changes the cells' totals a little.
MOVES = (recount.settled, recount.settled, recount.exchanged, recount.exchanged)


class Source(NamedTuple):
    """Control cells from whose counts `(n_cells, n_genes)` and totals predicted cells are made.

    `vae` decodes bits, `genes` are those of the counts, `target_sum` is the total to which expression is normalised.
    """

    vae: Any
    genes: Sequence[str]
    target_sum: float
    counts: sp.csr_matrix
    totals: np.ndarray

    def normalised(self, rows: np.ndarray) -> np.ndarray:
        """Return the normalised expression of some cells, dense."""
        return normalised(self.counts[rows], self.target_sum)

    def cells(
        self,
        rows: np.ndarray,
        own: np.ndarray | None,
        free: np.ndarray,
        bits: np.ndarray,
        target: np.ndarray | None,
        seed: int,
    ) -> sp.csr_matrix:
        """Return counts of all genes of cells with `bits`, one for each of the control cells `rows`.

        Parameters
        ----------
        rows
            Control cells, `(n,)`.
        own
            Their bits, where counts are moved; None where they are drawn.
        free
            Bits without a clamp, on which the mean is calibrated, `(n, n_latent)`.
        bits
            Bits to decode.
        target
            Mean expression to reach, `(n_genes,)`; None leaves the decoder's.
        seed
            Of the counts.
        """
        module = self.vae.module
        # genes without a count in training are not in the VAE, and stay 0 or as they are
        known = pd.Index(self.genes).get_indexer(self.vae.get_var_names())

        def maker(at: np.ndarray, z: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], recount.Rates]:
            after = recount.rates(module, z[at], self.totals[rows[at]])
            x = None if own is None else np.asarray(self.counts[rows[at]].todense())
            before = None if own is None else recount.rates(module, own[at], self.totals[rows[at]])

            def make(factor: np.ndarray) -> np.ndarray:
                rng = np.random.default_rng([seed, int(at[0])])
                out = np.zeros((len(at), len(self.genes)), np.float32) if x is None else x.astype(np.float32)
                rates = after.times(factor)
                out[:, known] = (
                    recount.drawn(rates, rng)
                    if x is None or before is None
                    else recount.moved(x[:, known], before, rates, rng)
                )
                return out

            return make, after

        if not len(rows):
            return sp.csr_matrix((0, len(self.genes)), dtype=np.float32)
        factor, most = np.ones(len(known)), max(1, recount.VALUES // len(self.genes))
        if target is not None:
            make, _ = maker(np.arange(min(len(rows), most)), free)
            factor = recount.calibration(make, lambda x: normalised(x, self.target_sum)[:, known], target[known])
        is_free, blocks = np.array_equal(free, bits), []
        for at in np.array_split(np.arange(len(rows)), -(-len(rows) // most)):
            make, after = maker(at, bits)
            x = make(factor)
            for k, move in enumerate(MOVES):
                if target is None or not is_free:
                    break
                rng, scale = np.random.default_rng([seed, int(at[0]), k]), self.target_sum / np.maximum(x.sum(1), 1e-12)
                x[:, known] = move(x[:, known], after.mean, scale, target[known], rng)
            blocks.append(sp.csr_matrix(x))
        return sp.vstack(blocks, format="csr")


def spread(n: int, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """Return `wanted` positions among n, each as often as any other, in random order.

    Parameters
    ----------
    n, wanted
        Numbers.
    rng
        The generator.
    """
    rounds = [rng.permutation(n) for _ in range(-(-wanted // n))] or [np.zeros(0, np.int64)]
    return np.concatenate(rounds)[:wanted]


def encoded(vae: Any, counts: AnnData, options: BoltzmannOptions) -> np.ndarray:
    """Return the bit probabilities of cells, or their means in a Gaussian latent, `(n_cells, n_latent)`.

    Parameters
    ----------
    vae
        A trained `QBMVAE`.
    counts
        The cells.
    options
        Say which latent it is.
    """
    representation = "probabilities" if options.latent == "bits" else None
    return vae.get_latent_representation(counts, representation=representation)
