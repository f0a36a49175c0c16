"""Dense couplings: exact blocked Gauss-Seidel, float32.

One matrix product gives the local fields of 32 sites from all current spins; inside the block sites are updated one
after another, each followed by a rank-1 correction of the block's remaining fields. It is the Markov chain of
sequential updates, in the order of the sites.
"""

from __future__ import annotations

import numba
import numpy as np

from samplers.kernels.rng import FAST, LANES
from samplers.kernels.update import DELTA, FIELD, add_energy, add_field, gibbs, metropolis, new_work, settle

BLOCK = 32


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def sweep(spins, streams, energies, two_beta, own, couplings, fields, num_sweeps, phase):
    """Update every spin of every chain `num_sweeps` times.

    Parameters
    ----------
    spins, streams, energies
        As in `Chains`; written.
    two_beta
        `(groups, 64)` float32: twice the inverse temperature of each chain.
    own
        `(groups, n, 64)` float32: what is added to each chain's fields; no groups where all chains share theirs.
    couplings, fields
        `-J`, `(n, n)` float32, and `-h`, `(n,)` float32.
    num_sweeps, phase
        Sweeps to do, and sweeps done before (even: Gibbs, odd: Metropolis).
    """
    n, apart = fields.shape[0], own.shape[0] > 0
    block = np.empty((BLOCK, LANES), dtype=np.float32)
    for group in range(spins.shape[0]):
        s, stream, work = spins[group], streams[group], new_work(two_beta[group])
        for k in range(num_sweeps):
            heat_bath = (phase + k) % 2 == 0
            for start in range(0, n, BLOCK):
                size = min(BLOCK, n - start)
                np.dot(couplings[start : start + size], s, block[:size])
                for i in range(size):
                    site = start + i
                    base = fields[site]
                    for lane in range(LANES):
                        work[FIELD + lane] = base + block[i, lane]
                    if apart:
                        add_field(work, own[group, site])
                    if heat_bath:
                        gibbs(stream, work, s, site)
                    else:
                        metropolis(stream, work, s, site)
                    for j in range(i + 1, size):
                        c = couplings[start + j, site]
                        for lane in range(LANES):
                            block[j, lane] += c * work[DELTA + lane]
            settle(work, energies[group])


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def energy(spins, energies, own, couplings, fields):
    """Write the energies of all chains, without the offset, to `energies`; arguments as in `sweep`.

    Parameters
    ----------
    spins, energies, own
        As in `sweep`; the energies are written.
    couplings, fields
        The kernel's arguments as in `sweep`.
    """
    n = fields.shape[0]
    pushed = np.empty((n, LANES), dtype=np.float32)
    for group in range(spins.shape[0]):
        s = spins[group]
        np.dot(couplings, s, pushed)
        energies[group] = 0.0
        for i in range(n):
            add_energy(s[i], np.float32(0.5) * pushed[i] + fields[i], energies[group])
            if own.shape[0] > 0:
                add_energy(s[i], own[group, i], energies[group])
