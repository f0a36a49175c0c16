"""Bits of perturbed cells from a conditional machine: drawn anew, or moved from control cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import samplers
from qbmvae.perturbation.boltzmann import gibbs
from qbmvae.perturbation.boltzmann.machine import ConditionalMachine

# independent draws: a population cooled from beta 0
SAMPLER = "population-annealing?num_sweeps=64"


@dataclass(frozen=True)
class Wanted:
    """Which codes of perturbed cells are asked for.

    Attributes
    ----------
    n_cells
        Cells of each condition.
    how
        "generate" or "transport".
    start
        Codes of the control cell that each perturbed cell starts from (transport only), `(sum(n_cells), n)`.
    dose
        Factor on the shift: 0 gives control cells, 1 the perturbation.
    clamp
        Bit to 0 or 1.
    """

    n_cells: Sequence[int]
    how: str
    start: np.ndarray
    dose: float = 1.0
    clamp: Mapping[int, int] | None = None


def machine_codes(
    machine: ConditionalMachine, rows: np.ndarray, wanted: Wanted, rng: np.random.Generator, sweeps: int = 5
) -> np.ndarray:
    """Return bits of perturbed cells, `(sum(n_cells), n)` uint8.

    Parameters
    ----------
    machine
        The conditional machine.
    rows
        Features of the conditions, `(n_conditions, width)`.
    wanted
        What is asked for.
    rng
        The generator.
    sweeps
        Most passes of a transport.
    """
    shifted = machine.fields(rows, wanted.dose)
    owner = np.repeat(np.arange(len(rows)), wanted.n_cells)
    from qbmvae.model.generation import checked_clamp

    clamp = checked_clamp(wanted.clamp, machine.n)
    if wanted.how == "transport":
        z = wanted.start.copy()
        gibbs.transport(z, machine.bias, shifted, owner, machine.couplings, sweeps, rng)
        if clamp:
            fixed = np.zeros(machine.n, bool)
            for bit, value in clamp.items():
                z[:, bit], fixed[bit] = value, True
            gibbs.sweep(z, shifted, owner, machine.couplings, sweeps, rng, fixed)
        return z
    sampler, out = samplers.get(SAMPLER), []
    clamped = {bit: 2 * value - 1 for bit, value in clamp.items()} or None
    for row, n in zip(shifted, wanted.n_cells, strict=True):
        draws = sampler.draw(machine.problem(row), int(n), 1.0, clamped=clamped, seed=rng)
        out.append((rng.permutation(draws.resample(int(n), seed=rng).states) + 1) // 2)
    return np.concatenate(out).astype(np.uint8)
