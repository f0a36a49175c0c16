"""The state of many chains, in the layout of the kernels: groups of 64 chains, sites, chains in the fast axis."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np

from samplers.kernels.rng import LANES, new_streams


@dataclass
class Chains:
    """Spins, random streams and running energies of `num` chains.

    Attributes
    ----------
    num
        Number of chains; the last group is filled up with chains that nobody reads.
    spins
        `(groups, n, 64)` float32 in {-1, +1}.
    streams
        `(groups, 256)` uint32: see `rng.new_streams`.
    energies
        `(groups, 64)` float64, kept by the kernels as spins flip.
    phase
        Sweeps done: even ones are Gibbs, odd ones Metropolis.
    own
        `(groups, n, 64)` float32, what each chain adds to the kernel's fields F = -h; no groups where nothing is added.
    """

    num: int
    spins: np.ndarray
    streams: np.ndarray
    energies: np.ndarray
    phase: int = 0
    own: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, LANES), dtype=np.float32))

    @classmethod
    def random(cls, num: int, n: int, rng: np.random.Generator) -> Chains:
        """Return `num` chains of `n` fair coins.

        Parameters
        ----------
        num, n
            Chains, and spins of each.
        rng
            The generator.
        """
        groups = -(-num // LANES)
        bits = np.unpackbits(rng.integers(0, 256, size=(groups * n * LANES) // 8, dtype=np.uint8))
        spins = bits.reshape(groups, n, LANES).astype(np.float32) * 2 - 1
        return cls(num, spins, new_streams(rng, groups), np.zeros((groups, LANES)))

    @classmethod
    def from_states(cls, states: np.ndarray, rng: np.random.Generator) -> Chains:
        """Return one chain a row of `states`, `(num, n)` spins."""
        num, n = states.shape
        groups = -(-num // LANES)
        spins = np.ones((groups, n, LANES), dtype=np.float32)
        _scatter(np.ascontiguousarray(states, dtype=np.int8), spins)
        return cls(num, spins, new_streams(rng, groups), np.zeros((groups, LANES)))

    def assign(self, fields: np.ndarray) -> None:
        """Give chains problems of their own: `fields`, `(k, n)`, are added to h for k equal shares of the chains."""
        each = self.num // len(fields)
        self.own = np.zeros_like(self.spins)
        _scatter(np.ascontiguousarray(np.repeat(-fields, each, axis=0), dtype=np.float32), self.own)

    @property
    def n(self) -> int:
        """Number of spins."""
        return self.spins.shape[1]

    def states(self) -> np.ndarray:
        """Return the spins as `(num, n)` int8."""
        out = np.empty((self.num, self.n), dtype=np.int8)
        _gather(self.spins, out)
        return out

    def energy(self) -> np.ndarray:
        """Return the running energies, `(num,)`."""
        return self.energies.reshape(-1)[: self.num]

    def state(self) -> dict[str, Any]:
        """Return everything as arrays and plain values; `Kernel.restore` is the way back."""
        return {
            "num": self.num,
            "phase": self.phase,
            "spins": self.spins.astype(np.int8),
            "streams": self.streams.copy(),
            "energies": self.energies.copy(),
        }

    def take(self, rows: np.ndarray) -> None:
        """Replace chain k by a copy of chain `rows[k]`; the random streams stay where they are."""
        spins = np.ones_like(self.spins)
        _take(self.spins, np.asarray(rows, dtype=np.int64), spins)
        self.spins = spins
        self.energies.reshape(-1)[: self.num] = self.energy()[rows]


@numba.njit(cache=True, nogil=True)
def _scatter(states, spins):
    for row in range(states.shape[0]):
        group, lane = divmod(row, LANES)
        for i in range(states.shape[1]):
            spins[group, i, lane] = states[row, i]


@numba.njit(cache=True, nogil=True)
def _gather(spins, states):
    n = states.shape[1]
    small = np.empty((n, LANES), dtype=np.int8)
    for group in range(spins.shape[0]):
        # to bytes along the lanes, which vectorises, and then across
        for i in range(n):
            own, out = spins[group, i], small[i]
            for lane in range(LANES):
                out[lane] = np.int8(own[lane])
        for lane in range(min(LANES, states.shape[0] - group * LANES)):
            row = states[group * LANES + lane]
            for i in range(n):
                row[i] = small[i, lane]


@numba.njit(cache=True, nogil=True)
def _take(spins, rows, out):
    for k in range(len(rows)):
        group, lane = divmod(k, LANES)
        old_group, old_lane = divmod(rows[k], LANES)
        for i in range(spins.shape[1]):
            out[group, i, lane] = spins[old_group, i, old_lane]
