"""Bipartite couplings in 16-bit fixed point: each side at once, an integer product and a fused threshold."""

from __future__ import annotations

import numba
import numpy as np

from samplers.kernels.int8 import dot_pair, set_spin
from samplers.kernels.rng import FAST, LANES
from samplers.kernels.update import FIELD, add_energy, add_field, gibbs, metropolis, new_work, settle


@numba.njit(fastmath=FAST)
def _pack_side(s, first, size, bits):
    bits[:] = np.uint32(0)
    for i in range(size):
        set_spin(s, bits, first + i, i)


@numba.njit(fastmath=FAST)
def _half(s, first, size, words, row_sums, scale, fields, apart, seen, own, raw, stream, work, heat_bath):
    """Update `size` spins from `first` on given the bits `seen` of the other side; write their own bits."""
    for i in range(size):
        odd = i % 2
        if not odd:
            dot_pair(seen, words, i // 2, raw)
        base, total = fields[first + i], row_sums[i]
        for lane in range(LANES):
            work[FIELD + lane] = base + scale * np.float32(np.int32(2 * raw[odd, lane] - total))
        if apart.shape[0] > 0:
            add_field(work, apart[first + i])
        if heat_bath:
            gibbs(stream, work, s, first + i)
        else:
            metropolis(stream, work, s, first + i)
        set_spin(s, own, first + i, i)


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def sweep(
    spins, streams, energies, two_beta, own, words, row_sums, words_t, row_sums_t, scale, fields, num_sweeps, phase
):
    """Update the hidden, then the visible spins, `num_sweeps` times.

    Parameters
    ----------
    spins, streams, energies
        As in `Chains`, visible spins first; written.
    two_beta
        `(groups, 64)` float32.
    own
        `(groups, n, 64)` float32: what is added to each chain's fields; no groups where all chains share theirs.
    words, row_sums, words_t, row_sums_t, scale
        `-W` and its transpose as `int8.Packed`; they share the scale.
    fields
        `-h`, `(n,)` float32.
    num_sweeps, phase
        Sweeps to do, and sweeps done before (even: Gibbs, odd: Metropolis).
    """
    n_visible, n_hidden = row_sums.shape[0], row_sums_t.shape[0]
    visible = np.empty((words_t.shape[1], LANES), dtype=np.uint32)
    hidden = np.empty((words.shape[1], LANES), dtype=np.uint32)
    raw = np.empty((2, LANES), dtype=np.int32)
    for group in range(spins.shape[0]):
        s, stream, work = spins[group], streams[group], new_work(two_beta[group])
        apart = own[group] if own.shape[0] > 0 else own.reshape(0, LANES)
        _pack_side(s, 0, n_visible, visible)
        _pack_side(s, n_visible, n_hidden, hidden)
        for k in range(num_sweeps):
            heat_bath = (phase + k) % 2 == 0
            _half(
                s, n_visible, n_hidden, words_t, row_sums_t, scale, fields, apart, visible, hidden, raw, stream, work,
                heat_bath,
            )  # fmt: skip
            _half(
                s, 0, n_visible, words, row_sums, scale, fields, apart, hidden, visible, raw, stream, work, heat_bath
            )  # fmt: skip
            settle(work, energies[group])


@numba.njit(fastmath=FAST, cache=True, nogil=True)
def energy(spins, energies, own, words, row_sums, words_t, row_sums_t, scale, fields):
    """Write the energies of all chains, without the offset, to `energies`; arguments as in `sweep`.

    Parameters
    ----------
    spins, energies, own
        As in `sweep`; the energies are written.
    words, row_sums, words_t, row_sums_t, scale, fields
        The kernel's arguments as in `sweep`.
    """
    n_visible, n_hidden = row_sums.shape[0], row_sums_t.shape[0]
    hidden = np.empty((words.shape[1], LANES), dtype=np.uint32)
    raw = np.empty((2, LANES), dtype=np.int32)
    pushed = np.empty(LANES, dtype=np.float32)
    for group in range(spins.shape[0]):
        s = spins[group]
        _pack_side(s, n_visible, n_hidden, hidden)
        energies[group] = 0.0
        for i in range(n_visible):
            if i % 2 == 0:
                dot_pair(hidden, words, i // 2, raw)
            base, total = fields[i], row_sums[i]
            for lane in range(LANES):
                pushed[lane] = base + scale * np.float32(np.int32(2 * raw[i % 2, lane] - total))
            add_energy(s[i], pushed, energies[group])
        for i in range(n_visible, n_visible + n_hidden):
            pushed[:] = fields[i]
            add_energy(s[i], pushed, energies[group])
        if own.shape[0] > 0:
            for i in range(n_visible + n_hidden):
                add_energy(s[i], own[group, i], energies[group])
