"""Gibbs sweeps of many chains that share couplings and differ in their fields."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True, error_model="numpy", fastmath=True)
def _sweep(
    z: np.ndarray,
    fields: np.ndarray,
    owner: np.ndarray,
    couplings: np.ndarray,
    free: np.ndarray,
    sweeps: int,
    seed: int,
) -> None:
    np.random.seed(seed)
    n_rows, n = z.shape
    local = np.empty(n, np.float32)
    for row in range(n_rows):
        local[:] = fields[owner[row]]
        for i in range(n):
            if z[row, i]:
                for j in range(n):
                    local[j] += couplings[i, j]
        for _ in range(sweeps):
            for i in range(n):
                if not free[i]:
                    continue
                on = np.random.random() * (1.0 + math.exp(-local[i])) < 1.0
                if on != (z[row, i] == 1):
                    sign = np.float32(1.0 if on else -1.0)
                    z[row, i] = on
                    for j in range(n):
                        local[j] += sign * couplings[i, j]


def sweep(
    z: np.ndarray,
    fields: np.ndarray,
    owner: np.ndarray,
    couplings: np.ndarray,
    n_sweeps: int,
    rng: np.random.Generator,
    fixed: np.ndarray | None = None,
) -> None:
    """Move chains by sequential Gibbs sweeps, in place.

    Parameters
    ----------
    z
        Bits, `(n_rows, n)` uint8.
    fields
        Of each condition, `(n_conditions, n)`.
    owner
        Condition of each row, `(n_rows,)`.
    couplings
        `(n, n)`, symmetric, zero diagonal.
    n_sweeps
        Passes over the bits.
    rng
        The generator.
    fixed
        `(n,)` bool: bits that stay as they are.
    """
    free = np.ones(z.shape[1], np.bool_) if fixed is None else ~np.asarray(fixed, np.bool_)
    arrays = (fields.astype(np.float32), owner.astype(np.int64), couplings.astype(np.float32), free)
    _sweep(z, *arrays, n_sweeps, int(rng.integers(2**31)))


def conditional_means(z: np.ndarray, fields: np.ndarray, owner: np.ndarray, couplings: np.ndarray) -> np.ndarray:
    """Return P(z_i = 1 | the other bits) of every chain, `(n_rows, n)` float32.

    Parameters
    ----------
    z
        Bits of the chains, `(n_rows, n)` uint8.
    fields
        Of the conditions, `(n_conditions, n)`.
    owner
        Condition of each chain, `(n_rows,)`.
    couplings
        `(n, n)`.
    """
    pushed = z.astype(np.float32) @ couplings.astype(np.float32) + fields.astype(np.float32)[owner]
    return 1 / (1 + np.exp(-pushed))


@numba.njit(cache=True, error_model="numpy")
def _transport(
    z: np.ndarray,
    base: np.ndarray,
    fields: np.ndarray,
    owner: np.ndarray,
    couplings: np.ndarray,
    sweeps: int,
    seed: int,
) -> None:
    np.random.seed(seed)
    n_rows, n = z.shape
    local, limit = np.empty(n), np.empty(n)
    for row in range(n_rows):
        for i in range(n):
            local[i] = base[i]
            for j in range(n):
                local[i] += couplings[i, j] * z[row, j]
        for i in range(n):
            on = 1.0 / (1.0 + math.exp(-local[i]))
            # the uniform number with which Gibbs sampling under the controls' fields would set this bit as it is
            u = np.random.random() * on if z[row, i] else on + np.random.random() * (1.0 - on)
            limit[i] = math.log(u + 1e-300) - math.log1p(-min(u, 1.0 - 1e-16))
            local[i] += fields[owner[row], i] - base[i]
        for _ in range(sweeps):
            changed = False
            for i in range(n):
                on_now = limit[i] < local[i]
                if on_now != (z[row, i] == 1):
                    sign = 1.0 if on_now else -1.0
                    z[row, i] = on_now
                    changed = True
                    for j in range(n):
                        local[j] += sign * couplings[i, j]
            if not changed:
                break


def transport(
    z: np.ndarray,
    base: np.ndarray,
    fields: np.ndarray,
    owner: np.ndarray,
    couplings: np.ndarray,
    n_sweeps: int,
    rng: np.random.Generator,
) -> None:
    """Move cells from the controls' fields to those of a condition, each with the noise that made it, in place.

    The uniform numbers that a Gibbs sweep under `base` would need to give a cell its own bits are drawn and kept; sweeps
    under the condition's fields use them again. Where the fields are equal a cell keeps its bits.

    Parameters
    ----------
    z
        Bits of control cells, `(n_rows, n)` uint8.
    base
        Fields of the controls, `(n,)`.
    fields, owner, couplings
        As in `sweep`.
    n_sweeps
        Most passes; a cell that no longer changes stops.
    rng
        The generator.
    """
    arrays = (base.astype(np.float64), fields.astype(np.float64), owner.astype(np.int64), couplings.astype(np.float64))
    _transport(z, *arrays, n_sweeps, int(rng.integers(2**31)))
