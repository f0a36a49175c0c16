"""The update of one spin in 64 chains, shared by the kernels: Gibbs (heat bath) or Metropolis, without branches."""

from __future__ import annotations

import numba
import numpy as np

from samplers.kernels.rng import FAST, LANES, exp_negative, uniform


@numba.njit(fastmath=FAST)
def gibbs(field, two_beta, bits, spins, delta):
    """Draw the spins from their conditional, P(+1) = 1 / (1 + exp(-2 beta F)).

    `field`, `two_beta`, `spins`, `delta` are `(64,)` float32, `bits` `(64,)` uint32; `spins` and `delta` (the change)
    are written.
    """
    one, two = np.float32(1.0), np.float32(2.0)
    for lane in range(LANES):
        e = exp_negative(two_beta[lane] * field[lane])
        new = two * np.float32(uniform(bits[lane]) * (one + e) <= one) - one
        delta[lane] = new - spins[lane]
        spins[lane] = new


@numba.njit(fastmath=FAST)
def metropolis(field, two_beta, bits, spins, delta):
    """Flip each spin with probability min(1, exp(-2 beta s F)); arguments as in `gibbs`."""
    two = np.float32(2.0)
    for lane in range(LANES):
        e = exp_negative(two_beta[lane] * field[lane] * spins[lane])
        change = -two * spins[lane] * np.float32(uniform(bits[lane]) <= e)
        delta[lane] = change
        spins[lane] += change


@numba.njit(fastmath=FAST)
def add_energy(delta, field, energy):
    """Add the change of energy, -delta F, to `energy`; the three are `(64,)`, the last float64 and written."""
    for lane in range(LANES):
        energy[lane] -= np.float64(delta[lane] * field[lane])
