"""The update of one spin in 64 chains, shared by the kernels: Gibbs (heat bath) or Metropolis, without branches.

What a loop over chains reads and writes lies in one array at constant distances: the compiler then needs no checks of
overlap, which it gives up on, and the loop with it, beyond a few arrays.
"""

from __future__ import annotations

import numba
import numpy as np

from samplers.kernels.rng import FAST, LANES, exp_negative, rotate_left, uniform

#: Offsets in the scratch array `work`, `(256,)` float32: local field, change of the spin, 2 beta, gain of energy.
FIELD, DELTA, TWO_BETA, GAIN = 0, LANES, 2 * LANES, 3 * LANES


@numba.njit
def new_work(two_beta):
    """Return a scratch array for chains with `two_beta`, `(64,)` float32."""
    work = np.zeros(4 * LANES, dtype=np.float32)
    work[TWO_BETA:GAIN] = two_beta
    return work


@numba.njit(fastmath=FAST)
def gibbs(stream, work, spins, site):
    """Draw the spins from their conditional, P(+1) = 1 / (1 + exp(-2 beta F)).

    `stream` is `(256,)` uint32 (see `rng`), `work` as above with the field set, `spins` `(64,)` float32; all are
    written: the streams advance by one step, `work` gets the change of the spins and of the energy.

    Parameters
    ----------
    stream
        `(256,)` uint32 (see `rng`); advanced by one step.
    work
        As `new_work` returns it, the field set; gets the change of the spins and of the energy.
    spins
        `(n, 64)` float32; written.
    site
        Row of `spins`.
    """
    one, two = np.float32(1.0), np.float32(2.0)
    for lane in range(LANES):
        s0 = stream[lane]
        s1 = stream[LANES + lane]
        s2 = stream[2 * LANES + lane]
        s3 = stream[3 * LANES + lane]
        bits = np.uint32(rotate_left(np.uint32(s0 + s3), 7) + s0)
        t = np.uint32(s1 << np.uint32(9))
        s2 = np.uint32(s2 ^ s0)
        s3 = np.uint32(s3 ^ s1)
        stream[LANES + lane] = np.uint32(s1 ^ s2)
        stream[lane] = np.uint32(s0 ^ s3)
        stream[2 * LANES + lane] = np.uint32(s2 ^ t)
        stream[3 * LANES + lane] = rotate_left(s3, 11)
        field = work[FIELD + lane]
        e = exp_negative(work[TWO_BETA + lane] * field)
        new = two * np.float32(uniform(bits) * (one + e) <= one) - one
        delta = new - spins[site, lane]
        work[DELTA + lane] = delta
        work[GAIN + lane] -= delta * field
        spins[site, lane] = new


@numba.njit(fastmath=FAST)
def metropolis(stream, work, spins, site):
    """Flip each spin with probability min(1, exp(-2 beta s F)); arguments as in `gibbs`.

    Parameters
    ----------
    stream, work, spins, site
        As in `gibbs`.
    """
    two = np.float32(2.0)
    for lane in range(LANES):
        s0 = stream[lane]
        s1 = stream[LANES + lane]
        s2 = stream[2 * LANES + lane]
        s3 = stream[3 * LANES + lane]
        bits = np.uint32(rotate_left(np.uint32(s0 + s3), 7) + s0)
        t = np.uint32(s1 << np.uint32(9))
        s2 = np.uint32(s2 ^ s0)
        s3 = np.uint32(s3 ^ s1)
        stream[LANES + lane] = np.uint32(s1 ^ s2)
        stream[lane] = np.uint32(s0 ^ s3)
        stream[2 * LANES + lane] = np.uint32(s2 ^ t)
        stream[3 * LANES + lane] = rotate_left(s3, 11)
        field = work[FIELD + lane]
        spin = spins[site, lane]
        e = exp_negative(work[TWO_BETA + lane] * field * spin)
        delta = -two * spin * np.float32(uniform(bits) <= e)
        work[DELTA + lane] = delta
        work[GAIN + lane] -= delta * field
        spins[site, lane] = spin + delta


@numba.njit(fastmath=FAST)
def add_field(work, own):
    """Add a chain's own field, `(64,)` float32, to the local field."""
    for lane in range(LANES):
        work[FIELD + lane] += own[lane]


@numba.njit(fastmath=FAST)
def settle(work, energy):
    """Add the gain of a sweep to `energy`, `(64,)` float64, and set it to zero."""
    for lane in range(LANES):
        energy[lane] += np.float64(work[GAIN + lane])
        work[GAIN + lane] = np.float32(0.0)


@numba.njit(fastmath=FAST)
def add_energy(spins, field, energy):
    """Add the energy of spins in a field, -s F, to `energy`; the three are `(64,)`, the last float64.

    Parameters
    ----------
    spins, field
        `(64,)` float32.
    energy
        `(64,)` float64; written.
    """
    for lane in range(LANES):
        energy[lane] -= np.float64(spins[lane] * field[lane])
