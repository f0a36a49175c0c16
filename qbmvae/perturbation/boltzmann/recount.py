"""Counts of predicted cells: drawn anew from their bits, or a control cell's own counts moved by the change of its bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from qbmvae.core.networks import Covariates

#: Rounds of a calibration, and the largest change of a log rate.
ROUNDS, LARGEST = 4, 5.0
#: Values that are held at once.
VALUES = 4_000_000
#: Cells to which a single molecule may come, and from which it may be taken.
CANDIDATES = 16


class Rates(NamedTuple):
    """Of counts: means `(n_cells, n_genes)`, inverse dispersions (None: Poisson), probabilities of dropout (None: none)."""

    mean: np.ndarray
    theta: np.ndarray | None
    dropout: np.ndarray | None

    def times(self, factor: np.ndarray) -> Rates:
        """Return the rates with the means multiplied."""
        return self._replace(mean=self.mean * factor)


@torch.inference_mode()
def rates(module: Any, bits: np.ndarray, totals: np.ndarray) -> Rates:
    """Return what a trained model's decoder expects of cells.

    Parameters
    ----------
    module
        The model's.
    bits
        Codes of the cells, `(n_cells, n_latent)`.
    totals
        Their total counts, `(n_cells,)`.
    """
    device = module.device
    z = torch.from_numpy(bits.astype(np.float32)).to(device)
    size = torch.from_numpy(np.asarray(totals, dtype=np.float32)).to(device)
    module.eval()
    px = module.likelihood(
        z, size.log().unsqueeze(-1), Covariates((torch.zeros(len(bits), dtype=torch.long, device=device),), None)
    )
    found = (getattr(px, "mu", getattr(px, "rate", None)), getattr(px, "theta", None), getattr(px, "zi_probs", None))
    mean, theta, dropout = (None if v is None else v.double().cpu().numpy() for v in found)
    assert mean is not None
    return Rates(mean + 1e-12, theta, dropout)


def drawn(after: Rates, rng: np.random.Generator) -> np.ndarray:
    """Return counts drawn at these rates, `(n_cells, n_genes)`."""
    mean = after.mean
    if after.theta is not None:
        mean = mean * rng.gamma(np.broadcast_to(after.theta, mean.shape)) / after.theta
    counts = rng.poisson(mean)
    return counts if after.dropout is None else counts * (rng.random(counts.shape) >= after.dropout)


def moved(x: np.ndarray, before: Rates, after: Rates, rng: np.random.Generator) -> np.ndarray:
    """Return counts at the rates `after`, coupled to counts at the rates `before`; where both are equal nothing changes.

    A negative binomial count is a Poisson count whose rate is its mean times a gamma variable of mean 1, the cell's own
    for the gene. That variable is kept: fewer counts are a binomial thinning, more are a Poisson count at the excess rate
    given the variable's posterior. If `x` has the distribution that `before` says, the answer has that of `after` (with
    equal dispersions and dropout). A zero that was a dropout stays one.

    Parameters
    ----------
    x
        Counts, `(n_cells, n_genes)`.
    before, after
        Of the cells, before and after the move.
    rng
        The generator.
    """
    kept = rng.binomial(x.astype(np.int64), np.minimum(after.mean / before.mean, 1.0))
    excess, theta = np.maximum(after.mean - before.mean, 0.0), before.theta
    if theta is not None:
        excess = excess * rng.gamma(theta + x) / (theta + before.mean)
    more = rng.poisson(excess)
    if before.dropout is not None:
        zero = np.exp(-before.mean) if theta is None else (theta / (theta + before.mean)) ** theta
        lost = before.dropout / (before.dropout + (1 - before.dropout) * zero)
        more = more * ((x > 0) | (rng.random(x.shape) >= lost))
    return kept + more


def calibration(
    make: Callable[[np.ndarray], np.ndarray], normalise: Callable[[np.ndarray], np.ndarray], target: np.ndarray
) -> np.ndarray:
    """Return the factor on each gene's rate, `(n_genes,)`, with which the cells' mean expression is `target`.

    Parameters
    ----------
    make
        From factors to counts `(n_cells, n_genes)`, with the same random numbers each time.
    normalise
        From counts to log1p-normalised expression.
    target
        Mean expression, `(n_genes,)`.
    """
    log_factor = np.zeros(len(target))
    for _ in range(ROUNDS):
        found = normalise(make(np.exp(log_factor)))
        # half a cell of expression 1: a gene that no cell shows has no ratio
        floor = 0.5 / len(found)
        log_factor += np.log(np.expm1(np.maximum(target, 0.0)) + floor) - np.log(np.expm1(found.mean(0)) + floor)
        log_factor = np.clip(log_factor, -LARGEST, LARGEST)
    return np.exp(log_factor)


def settled(
    x: np.ndarray, weights: np.ndarray, scale: np.ndarray, target: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return counts with the few molecules added or taken that bring the cells' mean expression to `target`.

    A draw's mean scatters by the cells' spread over the root of their number. Molecules are taken from those that there are,
    and added in proportion to `weights`, by systematic sampling over the cells in random order.

    Parameters
    ----------
    x
        Counts, `(n_cells, n_genes)`.
    weights
        Expected counts, of the same shape.
    scale
        What a cell's counts are multiplied by in its expression log1p(scale x), `(n_cells,)`.
    target
        Mean expression, `(n_genes,)`.
    rng
        The generator.
    """
    order, scale = rng.permutation(len(x)), scale[:, None]
    now = np.log1p(scale * x)
    gap = target - now.mean(0)
    step = np.where(gap > 0, np.log1p(scale * (x + 1)) - now, now - np.log1p(scale * np.maximum(x - 1, 0)))
    share = np.where(gap > 0, weights, x)
    total = np.maximum(share.sum(0), 1e-12)
    one = np.maximum((share * step).sum(0) / total / len(x), 1e-12)
    wanted = np.minimum(np.abs(gap) / one, np.where(gap > 0, np.inf, total))
    along = np.floor(np.cumsum(share[order], 0) * (wanted / total) + 0.5)
    moved = np.empty_like(x)
    moved[order] = np.diff(along, axis=0, prepend=0.0)
    return np.maximum(x + np.sign(gap) * moved, 0.0)


def exchanged(
    x: np.ndarray, weights: np.ndarray, scale: np.ndarray, target: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return counts in which one molecule of a gene comes, one goes, or both, where that brings its mean nearer to `target`.

    Among few cells one molecule changes a mean by more than predictions differ. One that comes to a cell while another goes
    from another cell changes it by less, as depths and counts differ. `CANDIDATES` cells are tried for each.

    Parameters
    ----------
    x, weights, scale, target, rng
        See `settled`.
    """
    genes, tried, scale = np.arange(x.shape[1]), min(CANDIDATES, len(x)), scale[:, None]
    # the least of exponential times over weights: cells drawn without repetition, in proportion to their weights
    first = rng.exponential(size=(2, *x.shape)) / np.maximum(np.stack([weights, x > 0]), 1e-12)
    to, of = np.argpartition(first, tried - 1, axis=1)[:, :tried]
    now = np.log1p(scale * x)
    none = np.zeros((1, x.shape[1]))
    gain = np.vstack([(np.log1p(scale * (x + 1)) - now)[to, genes], none])
    loss = np.vstack([(now - np.log1p(scale * np.maximum(x - 1, 0)))[of, genes], none])
    miss = np.abs(len(x) * (target - now.mean(0)) - (gain[:, None] - loss[None]))
    miss[:, :-1][:, x[of, genes] == 0] = np.inf
    miss[:-1, :-1][to[:, None] == of[None]] = np.inf
    # the last of each kind is no move
    out, best = x.copy(), np.divmod(miss.reshape(-1, x.shape[1]).argmin(0), tried + 1)
    for cells, place, sign in ((to, best[0], 1), (of, best[1], -1)):
        moved = np.flatnonzero(place < tried)
        out[cells[place[moved], moved], moved] += sign
    return out
