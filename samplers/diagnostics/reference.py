"""What the right answer is: moments by enumeration where that can be done, by parallel tempering elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from samplers.draws import Draws, Seed
from samplers.problem import Ising

#: Up to this many spins moments are enumerated.
ENUMERATED = 18


@dataclass(frozen=True)
class Reference:
    """Moments to compare with.

    Attributes
    ----------
    mean
        E[s_i], `(n,)`.
    second
        E[s_i s_j], `(n, n)`.
    states
        Reads of the reference itself, `(num, n)` int8.
    num_reads
        Independent reads that the moments rest on; infinite where they are exact.
    method
        "enumeration" or "parallel tempering".
    info
        What parallel tempering said of itself.
    """

    mean: np.ndarray
    second: np.ndarray
    states: np.ndarray
    num_reads: float
    method: str
    info: dict

    def floor(self, num_reads: float) -> float:
        """Return the root mean square error of E[s_i s_j] (i < j) that `num_reads` independent exact reads would show."""
        spread = np.mean(1 - np.square(self.second[np.triu_indices(len(self.mean), 1)]))
        return float(np.sqrt(max(spread, 1e-12) * (1 / num_reads + 1 / self.num_reads)))

    def error(self, draws: Draws) -> float:
        """Return the root mean square error of the draws' E[s_i s_j] over the floor of as many independent reads."""
        pairs = np.triu_indices(len(self.mean), 1)
        if not len(pairs[0]):
            spread = float(np.mean(1 - self.mean**2) / len(draws))
            return float(np.sqrt(np.mean(np.square(draws.mean() - self.mean)) / max(spread, 1e-12)))
        gap = draws.second_moments()[pairs] - self.second[pairs]
        return float(np.sqrt(np.mean(np.square(gap))) / self.floor(len(draws)))

    def limit(self, num_reads: int, seed: Seed = None) -> float:
        """Return the `error` that independent reads pass about 999 times in 1,000: four standard deviations up.

        Found by drawing from the reference's own reads; pairs are correlated, so that few spins scatter widely.
        """
        rng, population = np.random.default_rng(seed), self.states.astype(np.float64)
        pairs = np.triu_indices(population.shape[1], 1)
        if not len(pairs[0]):
            return 4.0
        centre = (population.T @ population)[pairs] / len(population)
        found = []
        for _ in range(12):
            spins = population[rng.integers(len(population), size=num_reads)]
            found.append(np.sqrt(np.mean(np.square((spins.T @ spins)[pairs] / num_reads - centre))))
        # the scatter of both parts of the floor, reads and reference, is alike
        ratio = np.array(found) / np.sqrt(max(np.mean(1 - np.square(centre)), 1e-12) / num_reads)
        return float(ratio.mean() + 4 * ratio.std(ddof=1))


def reference(
    problem: Ising, beta: float = 1.0, *, num_reads: int = 2000, num_sweeps: int = 400, seed: Seed = None
) -> Reference:
    """Return the moments of the Boltzmann distribution at beta.

    Parameters
    ----------
    problem
        The Ising problem.
    beta
        Inverse temperature.
    num_reads
        Reads of the reference; for parallel tempering its moments rest on them.
    num_sweeps
        Sweeps of parallel tempering before its first read.
    seed
        Seed or generator.
    """
    rng = np.random.default_rng(seed)
    if problem.n <= ENUMERATED:
        from samplers.strategies.exact import Exact, exact_moments

        mean, second = exact_moments(problem, beta)
        states = Exact().draw(problem, num_reads, beta, seed=rng).states
        return Reference(mean, second, states, np.inf, "enumeration", {})
    from samplers.strategies.parallel_tempering import ParallelTempering

    draws = ParallelTempering(num_sweeps=num_sweeps).draw(problem, num_reads, beta, seed=rng)
    effective = _independent(draws, int(draws.info["ladders"]))
    return Reference(draws.mean(), draws.second_moments(), draws.states, effective, "parallel tempering", draws.info)


def _independent(draws: Draws, ladders: int) -> float:
    """Return how many independent reads the draws are worth: several reads come from each of the `ladders`."""
    rounds = len(draws) // ladders
    if rounds < 2:
        return float(len(draws))
    spins = draws.states[: rounds * ladders].astype(np.float64)
    centred = spins - spins.mean(axis=0)
    # the slowest directions that can be seen: the energy and the widest principal axes
    _, axes = np.linalg.eigh(centred.T @ centred)
    observables = np.column_stack([draws.energies[: len(spins)], centred @ axes[:, -4:]])
    between = observables.reshape(rounds, ladders, -1).mean(axis=0).var(axis=0, ddof=1)
    inflation = between * rounds / np.maximum(observables.var(axis=0), 1e-12)
    return float(len(spins) / max(1.0, inflation.max()))
