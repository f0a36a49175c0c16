"""A Boltzmann machine whose fields depend on a condition: one set of couplings, fields of low rank in the features."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

import samplers
from samplers.errors import InputError
from samplers.problem import Ising

# bits up to which all states are listed
MAX_LISTED = 16


class Moments(NamedTuple):
    """Expectations under each condition: `first` (n_conditions, n), and the weighted sum of `second` moments (n, n)."""

    first: np.ndarray
    second: np.ndarray


class Gradient(NamedTuple):
    """Gradient of the weighted log-likelihood: of the fields `bias`, the couplings, and both factors of A."""

    bias: np.ndarray
    couplings: np.ndarray
    left: np.ndarray
    right: np.ndarray


@dataclass
class ConditionalMachine:
    r"""The distribution :math:`p(z \mid c) = \exp((b + A f(c)) \cdot z + z^T W z / 2) / Z(c)` over bits z in {0, 1}.

    Attributes
    ----------
    bias
        Fields b of the controls, `(n,)`; f of the controls is 0.
    couplings
        W, `(n, n)`, symmetric, zero diagonal; shared by all conditions.
    left, right
        Factors of :math:`A = L R`, `(n, rank)` and `(rank, n_features)`.
    """

    bias: np.ndarray
    couplings: np.ndarray
    left: np.ndarray
    right: np.ndarray

    @property
    def n(self) -> int:
        """Number of bits."""
        return len(self.bias)

    @property
    def n_parameters(self) -> int:
        """Number of free parameters."""
        return self.n + self.n * (self.n - 1) // 2 + self.left.size + self.right.size

    def fields(self, features: np.ndarray, dose: float = 1.0) -> np.ndarray:
        """Return b + dose * A f of each row of features, `(n_conditions, n)`.

        Raises
        ------
        InputError
            For features of another width.
        """
        features = np.atleast_2d(np.asarray(features, dtype=np.float64))
        if features.shape[1] != self.right.shape[1]:
            raise InputError(f"features have {features.shape[1]} columns, the machine takes {self.right.shape[1]}")
        return self.bias + dose * (features @ self.right.T @ self.left.T)

    def problem(self, fields: np.ndarray) -> Ising:
        """Return one condition as a `samplers.Ising` over spins 2z - 1, at beta 1."""
        quarter = self.couplings / 4
        offset = -(fields.sum() / 2 + self.couplings.sum() / 8)
        return Ising(-fields / 2 - quarter.sum(1), -np.triu(quarter, 1), offset=offset)

    def log_partition(self, fields: np.ndarray, seed: int = 0) -> tuple[float, float]:
        """Return log Z of one condition and its standard error: exact up to 16 bits, else by `samplers.log_partition`."""
        if self.n <= MAX_LISTED:
            _, scores = self._listed(np.atleast_2d(fields))
            return float(_log_sum_exp(scores)[0]), 0.0
        return samplers.log_partition(self.problem(np.asarray(fields, dtype=np.float64)), seed=seed)

    def probabilities(self, fields: np.ndarray) -> np.ndarray:
        """Return the probability of every state under each row of fields, `(n_conditions, 2**n)`; up to 16 bits.

        Bit 0 is the most significant of a state's number.
        """
        _, scores = self._listed(np.atleast_2d(fields))
        return np.exp(scores - _log_sum_exp(scores)[:, None])

    def exact_moments(self, fields: np.ndarray, weights: np.ndarray) -> Moments:
        """Return the moments of every condition by enumeration, up to 16 bits; `weights` (n_conditions,)."""
        states, _ = self._listed(fields)
        p = self.probabilities(fields)
        return Moments(p @ states, states.T @ ((weights @ p)[:, None] * states))

    def _listed(self, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.n > MAX_LISTED:
            raise InputError(f"{self.n} bits have 2^{self.n} states: enumeration lists at most {MAX_LISTED} bits")
        states = ((np.arange(2**self.n)[:, None] >> np.arange(self.n - 1, -1, -1)) & 1).astype(np.float64)
        quadratic = 0.5 * ((states @ self.couplings) * states).sum(1)
        return states, fields @ states.T + quadratic

    def gradient(
        self,
        positive: Moments,
        negative: Moments,
        features: np.ndarray,
        weights: np.ndarray,
        shrinkage: np.ndarray | None = None,
    ) -> Gradient:
        """Return the gradient of the weighted mean log-likelihood.

        Parameters
        ----------
        positive, negative
            Moments of the encoded cells, exact under independent bits, and of the machine.
        features
            `(n_conditions, n_features)`.
        weights
            `(n_conditions,)`, sum 1.
        shrinkage
            `(n_conditions,)`: subtracts half of this times the squared shift |A f|^2 of each condition.
        """
        shift = features @ self.right.T @ self.left.T
        by_condition = positive.first - negative.first
        pushed = by_condition if shrinkage is None else by_condition - shrinkage[:, None] * shift
        pushed = weights[:, None] * pushed
        difference = positive.second - negative.second
        couplings = (difference + difference.T) / 2
        np.fill_diagonal(couplings, 0.0)
        return Gradient(
            weights @ by_condition, couplings, pushed.T @ (features @ self.right.T), (pushed @ self.left).T @ features
        )

    def kl(self, q: np.ndarray, fields: np.ndarray, log_z: float) -> float:
        """Return the mean KL divergence in nats of independent bits `q` (n_cells, n) from the machine at these fields.

        Parameters
        ----------
        q
            Probabilities of the bits.
        fields
            Of the machine, `(n,)`.
        log_z
            Of the machine at these fields.
        """
        q = np.asarray(q, dtype=np.float64)
        clipped = np.clip(q, 1e-12, 1 - 1e-12)
        negentropy = (clipped * np.log(clipped) + (1 - clipped) * np.log1p(-clipped)).sum(1)
        score = q @ fields + 0.5 * ((q @ self.couplings) * q).sum(1)
        return float((negentropy - score).mean() + log_z)


def positive_moments(q: np.ndarray, condition: np.ndarray, weights: np.ndarray) -> Moments:
    """Return the moments of encoded cells; the bits of a cell are independent given its probabilities.

    Parameters
    ----------
    q
        Bit probabilities, `(n_cells, n)`.
    condition
        Position of each cell's condition, `(n_cells,)`.
    weights
        Of the conditions, `(n_conditions,)`.

    Raises
    ------
    InputError
        Where a condition has no cells.
    """
    q = np.asarray(q, dtype=np.float64)
    count = np.bincount(condition, minlength=len(weights)).astype(np.float64)
    if not count.all():
        raise InputError(f"condition {int(np.flatnonzero(count == 0)[0])} has no cells")
    first = np.zeros((len(weights), q.shape[1]))
    np.add.at(first, condition, q)
    second = q.T @ ((weights / count)[condition][:, None] * q)
    np.fill_diagonal(second, weights @ (first / count[:, None]))
    return Moments(first / count[:, None], second)


def start(n_bits: int, n_features: int, rank: int, seed: int) -> ConditionalMachine:
    """Return a machine without couplings and shifts, the factors ready to learn.

    Parameters
    ----------
    n_bits, n_features
        Sizes.
    rank
        Of the shifts.
    seed
        Of the factors.
    """
    rng = np.random.default_rng(seed)
    rank = max(1, min(rank, n_bits, n_features))
    left = rng.normal(size=(n_bits, rank)) / math.sqrt(rank)
    return ConditionalMachine(np.zeros(n_bits), np.zeros((n_bits, n_bits)), left, np.zeros((rank, n_features)))


def _log_sum_exp(scores: np.ndarray) -> np.ndarray:
    top = scores.max(1)
    return top + np.log(np.exp(scores - top[:, None]).sum(1))
