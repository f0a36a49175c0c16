"""Bipartite couplings (a restricted Boltzmann machine): each side at once, one matrix product and a fused threshold."""

from __future__ import annotations

import numba
import numpy as np

from samplers.kernels.rng import FAST, LANES, fill_bits
from samplers.kernels.update import add_energy, gibbs, metropolis


@numba.njit(fastmath=FAST, nogil=True)
def _half(s, field, bias, stream, b, energy, bits, delta, heat_bath):
    for i in range(s.shape[0]):
        for lane in range(LANES):
            field[i, lane] += bias[i]
        fill_bits(stream, bits)
        if heat_bath:
            gibbs(field[i], b, bits, s[i], delta)
        else:
            metropolis(field[i], b, bits, s[i], delta)
        add_energy(delta, field[i], energy)


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def sweep(spins, streams, energies, two_beta, block, block_t, fields, num_sweeps, phase):
    """Update the hidden, then the visible spins, `num_sweeps` times.

    Parameters
    ----------
    spins, streams, energies
        As in `Chains`, visible spins first; written.
    two_beta
        `(groups, 64)` float32.
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
    delta = np.empty(LANES, dtype=np.float32)
    bits = np.empty(LANES, dtype=np.uint32)
    for group in range(spins.shape[0]):
        stream, b, energy = streams[group], two_beta[group], energies[group]
        visible, hidden = spins[group, :n_visible], spins[group, n_visible:]
        for k in range(num_sweeps):
            heat_bath = (phase + k) % 2 == 0
            np.dot(block_t, visible, field_h)
            _half(hidden, field_h, fields[n_visible:], stream, b, energy, bits, delta, heat_bath)
            np.dot(block, hidden, field_v)
            _half(visible, field_v, fields[:n_visible], stream, b, energy, bits, delta, heat_bath)


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def energy(spins, energies, block, block_t, fields):
    """Write the energies of all chains, without the offset, to `energies`; arguments as in `sweep`."""
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
