"""What a sampler returns: reads with weights, energies, and how they came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from samplers.checks import integer, seed_of

if TYPE_CHECKING:
    import dimod

    from samplers.problem import Ising

Seed = int | np.random.Generator | None


@dataclass
class Draws:
    """Reads of a Boltzmann distribution.

    Attributes
    ----------
    states
        `(num_reads, n)` int8 in {-1, +1}.
    log_weights
        `(num_reads,)` float64, or None where all reads weigh the same.
    energies
        `(num_reads,)` float64, the problem's energy of each read, computed when it is first asked for.
    beta
        The inverse temperature that was asked for.
    info
        Timing in seconds, sweeps, acceptance, provenance, `effective_beta` where it was measured, ledger row.
    """

    states: np.ndarray
    log_weights: np.ndarray | None = None
    # a backend may leave it out: then it is computed from the problem
    energies: np.ndarray = None  # type: ignore[assignment]
    beta: float = 1.0
    info: dict[str, Any] = field(default_factory=dict)
    _problem: Ising | None = field(default=None, init=False, repr=False)
    _energies: np.ndarray | None = field(init=False, repr=False)

    def __len__(self) -> int:
        return len(self.states)

    def of(self, problem: Ising) -> Draws:
        """Take `energies` from `problem`, when they are first asked for; return self."""
        self._problem, self._energies = problem, None
        return self

    @property
    def given_energies(self) -> np.ndarray | None:
        """The energies that a backend gave; None where they are the problem's."""
        return None if self._problem is not None else self._energies

    @property
    def weights(self) -> np.ndarray:
        """Normalised weights, `(num_reads,)`, summing to 1."""
        if self.log_weights is None:
            return np.full(len(self), 1.0 / max(1, len(self)))
        weights = np.exp(self.log_weights - self.log_weights.max())
        return weights / weights.sum()

    @property
    def effective_sample_size(self) -> float:
        """Kish's effective sample size, (sum w)^2 / sum w^2, in reads."""
        return float(1.0 / np.square(self.weights).sum())

    def mean(self) -> np.ndarray:
        """Return the weighted mean of each spin, `(n,)`."""
        return self.weights @ self.states

    def second_moments(self) -> np.ndarray:
        """Return the weighted E[s_i s_j], `(n, n)`."""
        spins = self.states.astype(np.float64)
        return spins.T @ (spins * self.weights[:, None])

    def resample(self, num_reads: int | None = None, seed: Seed = None) -> Draws:
        """Return equally weighted reads by systematic resampling (Douc and Cappe 2005).

        Parameters
        ----------
        num_reads
            How many; as many as there are by default.
        seed
            Seed or generator.
        """
        if self.log_weights is None and num_reads in (None, len(self)):
            return self
        num = len(self) if num_reads is None else integer("num_reads", num_reads)
        rows = systematic(self.weights, num, np.random.default_rng(seed_of(seed)))
        energies = None if self.energies is None else self.energies[rows]
        return Draws(self.states[rows], None, energies, self.beta, {**self.info, "resampled": True})  # type: ignore[arg-type]

    def to_sampleset(self, problem: Ising, vartype: Literal["SPIN", "BINARY"] = "SPIN") -> dimod.SampleSet:
        """Return a `dimod.SampleSet` with the problem's labels; weights, where there are any, as a data vector.

        Parameters
        ----------
        problem
            The problem that the reads were drawn for.
        vartype
            "SPIN" or "BINARY".
        """
        import dimod

        if not problem.n:
            # as dimod's own samplers: a model without variables has no samples
            return dimod.SampleSet.from_samples([], vartype, energy=[], info=dict(self.info))
        vectors = {} if self.log_weights is None else {"log_weight": self.log_weights}
        samples = dimod.SampleSet.from_samples(
            (self.states, list(problem.labels)), "SPIN", energy=self.energies, info=dict(self.info),
            sort_labels=False, **vectors,
        )  # fmt: skip
        return samples if vartype == "SPIN" else samples.change_vartype(vartype, inplace=False)


def _get_energies(draws: Draws) -> np.ndarray:
    if draws._energies is None and draws._problem is not None:
        draws._energies = draws._problem.energies(draws.states)
    return draws._energies  # type: ignore[return-value]


def _set_energies(draws: Draws, energies: np.ndarray | None) -> None:
    draws._energies = energies


# most draws of a training never look at energies, which cost as much as a sweep; set after `dataclass` has read the class
Draws.energies = property(_get_energies, _set_energies)  # type: ignore[assignment]


def systematic(weights: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
    """Return `num` row indices drawn by systematic resampling.

    Parameters
    ----------
    weights
        Normalised weights, `(rows,)`.
    num
        How many rows.
    rng
        The generator.
    """
    edges = np.cumsum(weights)
    edges[-1] = 1.0
    return np.searchsorted(edges, (rng.random() + np.arange(num)) / num, side="right").clip(max=len(weights) - 1)
