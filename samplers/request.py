"""The arguments of a draw, checked: one `Request` goes from the caller through all wrappers to the backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from samplers.checks import integer, number, seed_of
from samplers.draws import Seed
from samplers.errors import InputError
from samplers.problem import Ising
from samplers.states import check_states, clamped_spins


@dataclass(frozen=True)
class Request:
    """The checked arguments of one draw.

    Attributes
    ----------
    problem
        The Ising problem.
    num_reads
        How many reads.
    beta
        Inverse temperature.
    initial_states
        `(rows, n)` int8 spins to start from, or None.
    clamped
        Spin index to -1 or +1, or None where no spin is clamped.
    seed
        An integer, a generator, or None.
    """

    problem: Ising
    num_reads: int = 1
    beta: float = 1.0
    initial_states: np.ndarray | None = None
    clamped: Mapping[int, int] | None = None
    seed: Seed = None

    @classmethod
    def checked(
        cls, problem: Any, num_reads: Any, beta: Any, initial_states: Any = None, clamped: Any = None, seed: Any = None
    ) -> Request:
        """Return the request for a caller's arguments.

        Parameters
        ----------
        problem, num_reads, beta, initial_states, clamped, seed
            As in `Sampler.draw`.

        Raises
        ------
        InputError
            For an argument out of range or of a kind that cannot be used.
        """
        if not isinstance(problem, Ising):
            raise InputError(
                f"draw takes a samplers.Ising, not {type(problem).__name__}: use samplers.Ising(h, J) or "
                "Ising.from_bqm(bqm)"
            )
        if clamped is not None:
            clamped = clamped_spins(clamped, problem.labels) or None
        if initial_states is not None:
            initial_states = check_states(initial_states, problem.labels)
        beta = number("beta", beta, least=0, words="a finite number >= 0")
        return cls(problem, integer("num_reads", num_reads), beta, initial_states, clamped, seed_of(seed))

    def replace(self, **changes: Any) -> Request:
        """Return the request with some arguments changed."""
        return dataclasses.replace(self, **changes)

    @property
    def rng(self) -> np.random.Generator:
        """The generator of the seed: the caller's own, or a new one at every access."""
        return np.random.default_rng(self.seed)

    def starts(self, num: int | None = None) -> np.ndarray | None:
        """Return the initial states as one row a read, None where there are none.

        Parameters
        ----------
        num
            How many rows; `num_reads` by default. A single initial state is repeated.

        Raises
        ------
        InputError
            Where there is another number of initial states.
        """
        num = self.num_reads if num is None else num
        if self.initial_states is None or len(self.initial_states) == num:
            return self.initial_states
        if len(self.initial_states) == 1:
            return np.repeat(self.initial_states, num, axis=0)
        raise InputError(
            f"initial_states have {len(self.initial_states)} rows for {num} reads: give one row, or one a read"
        )
