"""What machines with analogue amplitudes share: the coupling product in float32, and their spins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from samplers.problem import Ising

Amplitudes = np.ndarray  # (num_reads, n) float32


def pull(problem: Ising, factor: float) -> Callable[[Amplitudes], Amplitudes]:
    """Return the function x -> -factor * x J in float32: the push of the other amplitudes, in the problem's layout.

    Parameters
    ----------
    problem
        The Ising problem.
    factor
        Multiplies the couplings, no unit.
    """
    couplings = problem.coupled.map(lambda values: (values * -factor).astype(np.float32))
    return couplings.couple


def signs(x: Amplitudes) -> np.ndarray:
    """Return the spins of amplitudes, int8; an amplitude of 0 is read as +1."""
    return np.where(x >= 0, np.int8(1), np.int8(-1))


def with_ancilla(problem: Ising, factor: float) -> tuple[Callable[[Amplitudes], Amplitudes], int]:
    """Return the coupling product of the field-free problem of n + 1 spins, the last being the ancilla, and its size.

    A machine with couplings alone carries the fields as couplings to the ancilla: with s_n = 1 the energies are equal.
    """
    couple = pull(problem, factor)
    fields = (-factor * problem.h).astype(np.float32)

    def push(x: Amplitudes) -> Amplitudes:
        forces = np.empty_like(x)
        forces[:, :-1] = couple(x[:, :-1])
        forces[:, :-1] += x[:, -1:] * fields
        forces[:, -1] = x[:, :-1] @ fields
        return forces

    return push, problem.n + 1


def without_ancilla(spins: np.ndarray) -> np.ndarray:
    """Return the reads in the gauge where the ancilla, the last spin, is +1; `(num_reads, n)`."""
    return spins[:, :-1] * spins[:, -1:]
