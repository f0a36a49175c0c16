"""Bits of perturbed cells from a conditional machine: drawn anew, or moved from control cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

import samplers
from qbmvae.perturbation.boltzmann import gibbs
from qbmvae.perturbation.boltzmann.machine import ConditionalMachine

# independent draws: a population cooled from beta 0
SAMPLER = "population-annealing?num_sweeps=64"


def machine_codes(
    machine: ConditionalMachine,
    rows: np.ndarray,
    n_cells: Sequence[int],
    start: np.ndarray,
    rng: np.random.Generator,
    *,
    how: str,
    dose: float = 1.0,
    clamp: Mapping[int, int] | None = None,
    sweeps: int = 5,
) -> np.ndarray:
    """Return bits of perturbed cells, `(sum(n_cells), n)` uint8.

    Parameters
    ----------
    machine
        The conditional machine.
    rows, n_cells
        Features of the conditions, `(n_conditions, width)`, and cells of each.
    start
        Bits of the control cells to move (transport only), `(sum(n_cells), n)`.
    rng
        The generator.
    how
        "generate" or "transport".
    dose
        Factor on the shift of the fields.
    clamp
        Bit to 0 or 1.
    sweeps
        Most passes of a transport.
    """
    shifted = machine.fields(rows, dose)
    owner = np.repeat(np.arange(len(rows)), n_cells)
    from qbmvae.model.generation import checked_clamp

    clamp = checked_clamp(clamp, machine.n)
    if how == "transport":
        z = start.copy()
        gibbs.transport(z, machine.bias, shifted, owner, machine.couplings, sweeps, rng)
        if clamp:
            fixed = np.zeros(machine.n, bool)
            for bit, value in clamp.items():
                z[:, bit], fixed[bit] = value, True
            gibbs.sweep(z, shifted, owner, machine.couplings, sweeps, rng, fixed)
        return z
    sampler, out = samplers.get(SAMPLER), []
    clamped = {bit: 2 * value - 1 for bit, value in clamp.items()} or None
    for row, n in zip(shifted, n_cells, strict=True):
        draws = sampler.draw(machine.problem(row), int(n), 1.0, clamped=clamped, seed=rng)
        out.append((rng.permutation(draws.resample(int(n), seed=rng).states) + 1) // 2)
    return np.concatenate(out).astype(np.uint8)
