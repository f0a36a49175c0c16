"""Which ways of making cells a model takes: those whose cells are nearer to cells of its perturbations (energy distance)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from qbmvae.perturbation.boltzmann.options import WAYS

if TYPE_CHECKING:
    from anndata import AnnData

    from qbmvae.perturbation.boltzmann.model import BoltzmannPerturbation

#: Perturbations that are looked at, cells of each, fewest cells of one, and principal components.
MOST, CELLS, FEWEST, COMPONENTS = 8, 200, 20, 20
#: The least share of a mixture.
LEAST = 0.05


class Distances(NamedTuple):
    """Mean distances of cells: each way's from the real ones, between ways, among the real ones."""

    real: np.ndarray
    ways: np.ndarray
    within: float

    def energy(self, shares: np.ndarray) -> float:
        """Return the energy distance of a mixture from the real cells, 2 a.w - w'Bw - c; about 0 for equal distributions."""
        return float(2 * shares @ self.real - shares @ self.ways @ shares - self.within)


def distances(made: Sequence[np.ndarray], real: np.ndarray) -> Distances:
    """Return the distances of which the energy distance of every mixture is made, without bias.

    Parameters
    ----------
    made
        Cells of each way, `(n_cells, k)`.
    real
        Observed cells, `(n_cells, k)`.
    """

    def among(x: np.ndarray) -> float:
        return float(cdist(x, x).sum() / (len(x) * (len(x) - 1)))

    ways = np.array(
        [[among(x) if i == j else cdist(x, y).mean() for j, y in enumerate(made)] for i, x in enumerate(made)]
    )
    return Distances(np.array([cdist(x, real).mean() for x in made]), ways, among(real))


def energy_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Return 2 E|x-y| - E|x-x'| - E|y-y'|, unbiased (Szekely and Rizzo, 2013); about 0 for equal distributions."""
    return distances([x], y).energy(np.ones(1))


def best_shares(found: Distances) -> np.ndarray:
    """Return the shares of the mixture nearest to the real cells, `(n_ways,)`, of sum 1, each 0 or at least `LEAST`.

    The energy distance of a mixture is a convex quadratic of its shares (Szekely and Rizzo, 2013), whose minimum on each face
    of the simplex solves a linear system.
    """
    n = len(found.real)
    points = list(np.eye(n))
    for face in (list(f) for size in range(2, n + 1) for f in combinations(range(n), size)):
        ones = np.ones((len(face), 1))
        system = np.block([[2 * found.ways[np.ix_(face, face)], ones], [ones.T, np.zeros((1, 1))]])
        inside = np.linalg.lstsq(system, np.append(2 * found.real[face], 1.0), rcond=None)[0][:-1]
        if (inside >= LEAST).all():
            points.append(np.zeros(n))
            points[-1][face] = inside / inside.sum()
    return min(points, key=found.energy)


def compared(
    model: BoltzmannPerturbation, adata: AnnData, real: dict[str, np.ndarray], base: AnnData, seed: int
) -> Iterator[Distances]:
    """Yield the distances of each perturbation between the cells that the model makes and real ones.

    Parameters
    ----------
    model
        A trained model.
    adata
        Cells of counts.
    real
        Perturbation to the rows of its cells.
    base
        Control cells to start from.
    seed
        Of the cells drawn.
    """
    seen = [model.log1p(adata[rows]) for rows in real.values()]
    everything = np.concatenate(seen)
    basis = np.linalg.svd(everything[:1000] - everything.mean(0), full_matrices=False)[2][:COMPONENTS].T
    wanted = {name: len(rows) for name, rows in real.items()}
    made = []
    for how in WAYS:
        cells = model.log1p(model.predict(wanted, base, n_control=0, seed=seed, how=how)) @ basis
        made.append(np.split(cells, np.cumsum(list(wanted.values()))[:-1]))
    for cells, x in zip(zip(*made, strict=True), seen, strict=True):
        yield distances(cells, x @ basis)


def drawn(rows: np.ndarray, labels: np.ndarray, known: set[str], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return up to `CELLS` rows of each of the largest known perturbations that have cells enough.

    Parameters
    ----------
    rows, labels
        Cells to choose from, and the perturbation of every cell.
    known
        Perturbations that a model knows, without controls.
    rng
        The generator.
    """
    names, counts = np.unique(labels[rows], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    usable = [str(names[i]) for i in order if counts[i] >= FEWEST and names[i] in known][:MOST]
    return {name: rng.permutation(rows[labels[rows] == name])[:CELLS] for name in usable}


def chosen(model: BoltzmannPerturbation, adata: AnnData, labels: np.ndarray, seed: int) -> dict[str, float]:
    """Return the mean energy distance of cells made each way from the training cells, by way; empty without cells enough.

    Parameters
    ----------
    model
        A trained model.
    adata, labels
        Its training cells, and the perturbation of each, `(n_cells,)`.
    seed
        Of the cells drawn.
    """
    rng = np.random.default_rng(seed)
    real = drawn(np.arange(len(labels)), labels, set(labels) - {model.control}, rng)
    if not real:
        return {}
    base = adata[rng.permutation(np.flatnonzero(labels == model.control))[: 5 * CELLS]]
    found = list(compared(model, adata, real, base, seed))
    return {how: float(np.mean([d.energy(w) for d in found])) for how, w in zip(WAYS, np.eye(len(WAYS)), strict=True)}


def validated(
    refit: Callable[[np.ndarray], BoltzmannPerturbation],
    adata: AnnData,
    labels: np.ndarray,
    contexts: np.ndarray,
    control: str,
    folds: int,
    seed: int,
) -> dict[str, Any]:
    """Return shares of the ways, and energy distances on contexts that a fit has not seen; empty without such.

    Parameters
    ----------
    refit
        From a mask of cells to a model fitted to them alone.
    adata, labels, contexts
        Training cells of counts; the perturbation and the context of each, `(n_cells,)`.
    control
        Label of the controls.
    folds
        Most contexts that are left out, one after the other, those of most perturbed cells first.
    seed
        Of the cells drawn.
    """
    rng = np.random.default_rng(seed)
    found: list[Distances] = []
    used: list[str] = []
    names, counts = np.unique(contexts[labels != control], return_counts=True)
    for context in names[np.argsort(-counts, kind="stable")]:
        out = contexts == context
        known = set(labels[~out])
        real = drawn(np.flatnonzero(out), labels, known - {control}, rng)
        base = np.flatnonzero(out & (labels == control))
        # a fit wants a context that holds both
        both = set(contexts[~out & (labels == control)]) & set(contexts[~out & (labels != control)])
        if len(used) < folds and real and len(base) and both:
            used.append(str(context))
            found += compared(refit(~out), adata, real, adata[base], seed)
    if not found:
        return {}
    mean = Distances(*(np.mean([getattr(d, name) for d in found], axis=0) for name in Distances._fields))
    shares = best_shares(mean)
    energy = {how: mean.energy(w) for how, w in zip(WAYS, np.eye(len(WAYS)), strict=True)}
    return {
        "shares": {how: float(share) for how, share in zip(WAYS, shares, strict=True) if share > 0},
        "contexts": used,
        "energy": energy | {"mixture": mean.energy(shares)},
    }
