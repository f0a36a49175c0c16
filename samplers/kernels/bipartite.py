"""Bipartite couplings (a restricted Boltzmann machine): each side at once, one matrix product and a fused threshold."""

from __future__ import annotations

import numba
import numpy as np

from samplers.kernels.rng import FAST, LANES
from samplers.kernels.update import FIELD, add_energy, add_field, gibbs, metropolis, new_work, settle


@numba.njit(fastmath=FAST)
def _half(s, first, field, fields, own, stream, work, heat_bath):
    """Update the spins from `first` on, whose fields but for the external ones are in `field`; `own` is `(n or 0, 64)`."""
    for i in range(field.shape[0]):
        base = fields[first + i]
        for lane in range(LANES):
            work[FIELD + lane] = base + field[i, lane]
        if own.shape[0] > 0:
            add_field(work, own[first + i])
        if heat_bath:
            gibbs(stream, work, s, first + i)
        else:
            metropolis(stream, work, s, first + i)


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def sweep(spins, streams, energies, two_beta, own, block, block_t, fields, num_sweeps, phase):
    """Update the hidden, then the visible spins, `num_sweeps` times.

    Parameters
    ----------
    spins, streams, energies
        As in `Chains`, visible spins first; written.
    two_beta
        `(groups, 64)` float32.
    own
        `(groups, n, 64)` float32: what is added to each chain's fields; no groups where all chains share theirs.
    block, block_t
        `-W`, `(n_visible, n_hidden)`, and its transpose, float32, contiguous.
    fields
        `-h`, `(n,)` float32.
    num_sweeps, phase
        Sweeps to do, and sweeps done before (even: Gibbs, odd: Metropolis).
    """
    n_visible, n_hidden = block.shape
    field_v = np.empty((n_visible, LANES), dtype=np.float32)
    field_h = np.empty((n_hidden, LANES), dtype=np.float32)
    for group in range(spins.shape[0]):
        s, stream, work = spins[group], streams[group], new_work(two_beta[group])
        apart = own[group] if own.shape[0] > 0 else own.reshape(0, LANES)
        for k in range(num_sweeps):
            heat_bath = (phase + k) % 2 == 0
            np.dot(block_t, s[:n_visible], field_h)
            _half(s, n_visible, field_h, fields, apart, stream, work, heat_bath)
            np.dot(block, s[n_visible:], field_v)
            _half(s, 0, field_v, fields, apart, stream, work, heat_bath)
            settle(work, energies[group])


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def energy(spins, energies, own, block, block_t, fields):
    """Write the energies of all chains, without the offset, to `energies`; arguments as in `sweep`.

    Parameters
    ----------
    spins, energies, own
        As in `sweep`; the energies are written.
    block, block_t, fields
        The kernel's arguments as in `sweep`.
    """
    n_visible, n_hidden = block.shape
    pushed = np.empty((n_visible, LANES), dtype=np.float32)
    for group in range(spins.shape[0]):
        s = spins[group]
        np.dot(block, s[n_visible:], pushed)
        energies[group] = 0.0
        for i in range(n_visible):
            add_energy(s[i], pushed[i] + fields[i], energies[group])
        for i in range(n_visible, n_visible + n_hidden):
            add_energy(s[i], np.full(LANES, fields[i]), energies[group])
        if own.shape[0] > 0:
            for i in range(n_visible + n_hidden):
                add_energy(s[i], own[group, i], energies[group])
