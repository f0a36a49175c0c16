"""What reads tell of the distribution that they came from: identities that hold for Boltzmann samples, and mixing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2

from samplers.draws import Draws, Seed
from samplers.problem import Ising
from samplers.sampler import Sampler


def callen_residuals(problem: Ising, draws: Draws, beta: float | None = None) -> np.ndarray:
    r"""Return the z-scores of Callen's identity, `(n, n)`: entry (i, j) of :math:`E[s_j (s_i - \tanh \beta F_i)] = 0`.

    The diagonal holds the same without the factor s_j. For Boltzmann reads at beta that are independent, the mean of
    the squares is about 1; reads that are too cold, too hot, or not Boltzmann make it grow with their number.

    Parameters
    ----------
    problem
        The Ising problem.
    draws
        The reads.
    beta
        Inverse temperature; `draws.beta` by default.

    References
    ----------
    Callen (1963), Physics Letters 4, 161; the discrete Stein identity of Glauber dynamics.
    """
    beta = draws.beta if beta is None else beta
    spins, weights = draws.states.astype(np.float64), draws.weights
    gap = spins - np.tanh(beta * problem.local_fields(draws.states))
    weighted = gap * weights[:, None]
    residual = weighted.T @ spins
    np.fill_diagonal(residual, weighted.sum(axis=0))
    variance = np.square(weighted).sum(axis=0)[:, None] - np.square(residual) * np.square(weights).sum()
    return residual / np.sqrt(np.maximum(variance, 1e-12))


def callen_limit(n: int) -> float:
    """Return the mean square of Callen z-scores that independent Boltzmann reads of n spins pass 999 times in 1,000.

    The n^2 residuals are correlated; they are counted as n.
    """
    return float(chi2.ppf(0.999, n) / n)


@dataclass(frozen=True)
class Drift:
    """How reads move under Gibbs sweeps at beta; stationary reads do not.

    Attributes
    ----------
    per_spin
        Mean change of the energy of a read, over n.
    z
        The change in standard errors of the paired differences.
    """

    per_spin: float
    z: float


def drift(problem: Ising, draws: Draws, num_sweeps: int = 10, seed: Seed = None) -> Drift:
    """Return the paired drift of the energy under `num_sweeps` Gibbs sweeps at the reads' beta.

    Parameters
    ----------
    problem, draws
        The Ising problem and the reads, whose weights are used.
    num_sweeps
        Gibbs sweeps.
    seed
        Seed or generator.
    """
    from samplers.wrappers.correction import correct

    moved = problem.energies(correct(problem, draws.states, num_sweeps, draws.beta, seed))
    change = moved - problem.energies(draws.states)
    mean = float(draws.weights @ change)
    error = float(np.sqrt(np.square(draws.weights * (change - mean)).sum()))
    z = mean / error if error > 0 else 0.0
    return Drift(mean / max(1, problem.n), float(z))


def nested_rhat(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    r"""Return the nested R-hat of two groups of independent chains, one value an observable.

    Parameters
    ----------
    first, second
        The final value of each observable in each chain, `(num_chains, num_observables)`; the groups differ in where
        their chains started.

    Notes
    -----
    :math:`\sqrt{1 + B / W}`, B being the variance of the two means and W the mean variance within the groups
    (Margossian et al. 2024, Bayesian Analysis, with one draw a chain). About 1 when the start is forgotten.
    """
    first, second = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    between = np.square(first.mean(axis=0) - second.mean(axis=0)) / 2
    within = (first.var(axis=0, ddof=1) + second.var(axis=0, ddof=1)) / 2
    # an observable that is constant within both groups: R-hat is 1 where they agree
    within = np.where(within > 0, within, np.where(between > 0, 1e-12, 1.0))
    return np.sqrt(1 + between / within)


def start_rhat(
    sampler: Sampler,
    problem: Ising,
    data: np.ndarray,
    num_reads: int,
    beta: float = 1.0,
    seed: Seed = None,
    *,
    own: Draws | None = None,
) -> float:
    """Return the largest nested R-hat, over the energy and the spins, of chains started from data and from random spins.

    Parameters
    ----------
    sampler
        A sampler that takes `initial_states`.
    problem, num_reads, beta, seed
        As in `Sampler.draw`.
    data
        States to start from, `(num, n)`: a reference's reads, or the training data's bits.
    own
        Reads of the sampler from a start of its own, which take the place of random spins: chains that are kept from
        draw to draw move a little in each, and would never forget random spins in one.
    """
    rng = np.random.default_rng(seed)

    def drawn(start: np.ndarray) -> Draws:
        return sampler.draw(problem, num_reads, beta, initial_states=start.astype(np.int8), seed=rng)

    first = drawn(data[rng.integers(len(data), size=num_reads)])
    second = drawn(rng.choice([-1, 1], (num_reads, problem.n))) if own is None else own
    groups = [d.resample(seed=rng).states for d in (first, second)]
    return float(nested_rhat(*(np.column_stack([problem.energies(states), states]) for states in groups)).max())


def followed(
    sampler: Sampler, problem: Ising, num_reads: int, beta: float = 1.0, seed: Seed = None, num_steps: int = 20
) -> Draws:
    """Return the last reads of a sampler that keeps chains while beta grows from half to the whole, as in a training.

    Parameters
    ----------
    sampler
        A sampler that keeps chains; it starts them afresh.
    problem, num_reads, beta, seed
        As in `Sampler.draw`.
    num_steps
        Draws on the way.
    """
    rng = np.random.default_rng(seed)
    # an integer starts the chains, a generator goes on with them
    draws = sampler.draw(problem, num_reads, beta / 2, seed=int(rng.integers(2**31)))
    for share in np.linspace(0.5, 1.0, num_steps + 1)[1:]:
        draws = sampler.draw(problem, num_reads, float(share) * beta, seed=rng)
    return draws


def total_variation(problem: Ising, draws: Draws, seed: Seed = None) -> tuple[float, float, float]:
    """Return the total variation between the reads and the exact distribution; its mean and spread for exact reads.

    Parameters
    ----------
    problem
        An Ising problem of at most 14 spins.
    draws
        The reads, whose weights are used.
    seed
        Seed of the 20 sets of as many exact reads that give mean and spread.
    """
    from samplers.strategies.exact import enumerate_energies

    log_p = -draws.beta * enumerate_energies(problem)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    index = ((draws.states > 0) << np.arange(problem.n)).sum(axis=1)
    found = np.bincount(index, weights=draws.weights, minlength=len(p))
    exact = np.random.default_rng(seed).multinomial(len(draws), p, size=20) / len(draws)
    floors = np.abs(exact - p).sum(axis=1) / 2
    return float(np.abs(found - p).sum() / 2), float(floors.mean()), float(floors.std(ddof=1))
