"""Sparse couplings: sites in order, neighbours from CSR, 64 chains in the fast axis."""

from __future__ import annotations

import numba
import numpy as np

from samplers.kernels.rng import FAST, LANES
from samplers.kernels.update import FIELD, add_energy, add_field, gibbs, metropolis, new_work, settle


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def sweep(spins, streams, energies, two_beta, own, indptr, indices, couplings, fields, num_sweeps, phase):
    """Update every spin of every chain `num_sweeps` times.

    Parameters
    ----------
    spins, streams, energies
        As in `Chains`; written.
    two_beta
        `(groups, 64)` float32.
    own
        `(groups, n, 64)` float32: what is added to each chain's fields; no groups where all chains share theirs.
    indptr, indices, couplings
        CSR of `-J`, symmetric: int32, int32, float32.
    fields
        `-h`, `(n,)` float32.
    num_sweeps, phase
        Sweeps to do, and sweeps done before (even: Gibbs, odd: Metropolis).
    """
    n, apart = fields.shape[0], own.shape[0] > 0
    for group in range(spins.shape[0]):
        s, stream, work = spins[group], streams[group], new_work(two_beta[group])
        for k in range(num_sweeps):
            heat_bath = (phase + k) % 2 == 0
            for site in range(n):
                base = fields[site]
                for lane in range(LANES):
                    work[FIELD + lane] = base
                if apart:
                    add_field(work, own[group, site])
                for p in range(indptr[site], indptr[site + 1]):
                    c, neighbour = couplings[p], indices[p]
                    for lane in range(LANES):
                        work[FIELD + lane] += c * s[neighbour, lane]
                if heat_bath:
                    gibbs(stream, work, s, site)
                else:
                    metropolis(stream, work, s, site)
            settle(work, energies[group])


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def energy(spins, energies, own, indptr, indices, couplings, fields):
    """Write the energies of all chains, without the offset, to `energies`; arguments as in `sweep`.

    Parameters
    ----------
    spins, energies, own
        As in `sweep`; the energies are written.
    indptr, indices, couplings, fields
        The kernel's arguments as in `sweep`.
    """
    n = fields.shape[0]
    pushed = np.empty(LANES, dtype=np.float32)
    for group in range(spins.shape[0]):
        s = spins[group]
        energies[group] = 0.0
        for site in range(n):
            for lane in range(LANES):
                pushed[lane] = fields[site]
            for p in range(indptr[site], indptr[site + 1]):
                c, neighbour = np.float32(0.5) * couplings[p], indices[p]
                for lane in range(LANES):
                    pushed[lane] += c * s[neighbour, lane]
            add_energy(s[site], pushed, energies[group])
            if own.shape[0] > 0:
                add_energy(s[site], own[group, site], energies[group])
