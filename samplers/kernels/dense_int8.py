"""Dense couplings: exact blocked Gauss-Seidel in 16-bit fixed point, two sites a block.

An integer product gives the local fields of two sites from all current spins; the second is corrected by the change
of the first. It is the Markov chain of sequential updates, in the order of the sites.
"""

from __future__ import annotations

import numba
import numpy as np

from samplers.kernels.int8 import dot_pair, pack_spins, set_spin
from samplers.kernels.rng import FAST, LANES
from samplers.kernels.update import DELTA, FIELD, add_energy, add_field, gibbs, metropolis, new_work, settle


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def sweep(spins, streams, energies, two_beta, own, words, rounded, row_sums, scale, fields, num_sweeps, phase):
    """Update every spin of every chain `num_sweeps` times.

    Parameters
    ----------
    spins, streams, energies
        As in `Chains`; written.
    two_beta
        `(groups, 64)` float32.
    own
        `(groups, n, 64)` float32: what is added to each chain's fields; no groups where all chains share theirs.
    words, rounded, row_sums, scale
        `-J` as `int8.Packed`.
    fields
        `-h`, `(n,)` float32.
    num_sweeps, phase
        Sweeps to do, and sweeps done before (even: Gibbs, odd: Metropolis).
    """
    n, apart = fields.shape[0], own.shape[0] > 0
    bytes01 = np.empty((words.shape[1], LANES), dtype=np.uint32)
    raw = np.empty((2, LANES), dtype=np.int32)
    for group in range(spins.shape[0]):
        s, stream, work = spins[group], streams[group], new_work(two_beta[group])
        pack_spins(s, bytes01)
        for k in range(num_sweeps):
            heat_bath = (phase + k) % 2 == 0
            for site in range(n):
                odd = site % 2
                if not odd:
                    dot_pair(bytes01, words, site // 2, raw)
                # sum_j q_j s_j = 2 sum_j q_j bit_j - sum_j q_j, in integers; an odd site owes its neighbour's change
                base, total = fields[site], row_sums[site]
                owed = rounded[site, site - 1] if odd else np.float32(0.0)
                for lane in range(LANES):
                    pushed = scale * np.float32(np.int32(2 * raw[odd, lane] - total))
                    work[FIELD + lane] = base + pushed + owed * work[DELTA + lane]
                if apart:
                    add_field(work, own[group, site])
                if heat_bath:
                    gibbs(stream, work, s, site)
                else:
                    metropolis(stream, work, s, site)
                set_spin(s, bytes01, site, site)
            settle(work, energies[group])


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def energy(spins, energies, own, words, rounded, row_sums, scale, fields):
    """Write the energies of all chains, without the offset, to `energies`; arguments as in `sweep`.

    Parameters
    ----------
    spins, energies, own
        As in `sweep`; the energies are written.
    words, rounded, row_sums, scale, fields
        The kernel's arguments as in `sweep`.
    """
    n = fields.shape[0]
    bytes01 = np.empty((words.shape[1], LANES), dtype=np.uint32)
    raw = np.empty((2, LANES), dtype=np.int32)
    half = np.empty(LANES, dtype=np.float32)
    for group in range(spins.shape[0]):
        pack_spins(spins[group], bytes01)
        energies[group] = 0.0
        for pair in range(words.shape[0]):
            dot_pair(bytes01, words, pair, raw)
            for i in range(min(2, n - 2 * pair)):
                site = 2 * pair + i
                base, total = fields[site], row_sums[site]
                for lane in range(LANES):
                    pushed = scale * np.float32(np.int32(2 * raw[i, lane] - total))
                    half[lane] = base + np.float32(0.5) * pushed
                add_energy(spins[group, site], half, energies[group])
                if own.shape[0] > 0:
                    add_energy(spins[group, site], own[group, site], energies[group])
