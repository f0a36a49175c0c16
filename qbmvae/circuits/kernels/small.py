"""Run a whole program tile by tile: forward keeps the last state alone, backward recomputes states as it goes.

Parameters
----------
tile_ids
    Tiles to do.
steps
    A row each of the groups and then of the readouts; its columns are the constants of this module.
n_groups
    How many rows are groups.
sources, turns
    The monomial maps, a row each.
cosines, sines
    The diagonals that all samples share, a row each.
tables
    First string and number of strings of each table.
base
    A factor on each table.
entries
    Row of each table by basis state.
cos, sin
    Of half the angles of each sample, `(tiles, n_sample, LANES)`.
final
    Last states, `(tiles, 2, 2**n, LANES)`.
"""

from __future__ import annotations

import numpy as np

from qbmvae.circuits.kernels import tiles, vectors
from qbmvae.circuits.kernels.tiles import LANES, jit

# columns of `steps`: Hadamards before, monomial row or -1, Hadamards after, shared diagonal row or -1, first table, end
BEFORE, MONOMIAL, AFTER, SHARED, FIRST, END = range(6)


@jit
def _step(planes, count, scratch, step, sources, turns, inverse):
    row = max(step[MONOMIAL], 0)
    tiles.apply_step(
        planes,
        count,
        scratch,
        planes.shape[1],
        step[BEFORE],
        step[MONOMIAL] >= 0,
        step[AFTER],
        sources[row],
        turns[row],
        inverse,
    )


@jit
def _diagonal(planes, count, table, step, cosines, sines, tables, base, entries, cos, sin, sign):
    size = planes.shape[1]
    if step[SHARED] >= 0:
        tiles.multiply_shared(planes, count, size, cosines[step[SHARED]], sines[step[SHARED]], sign)
    for t in range(step[FIRST], step[END]):
        tiles.build_table(table, cos, sin, tables[t, 0], tables[t, 1], base[t])
        tiles.multiply_table(planes, count, size, table, entries[t], sign)


@jit
def forward(
    tile_ids, steps, n_groups, sources, turns, cosines, sines, tables, base, entries, cos, sin, final, scale, squares
):
    """Evaluate tiles: last states into `final` (tiles, 2, 2**n, LANES), |amplitude|**2 of a readout into `squares`.

    `steps` holds the groups, then the readouts; `cosines`, `sines` the shared diagonals; `tables` (first string, count)
    of each table, `base` a factor on it, `entries` its rows by basis state; `cos`, `sin` are of half the per-sample
    angles (tiles, n_sample, LANES); `scale` is the squared factor of a readout's Hadamards.

    Parameters
    ----------
    scale
        The squared factor of a readout's Hadamards.
    squares
        |amplitude|**2 of each readout; written.
    """
    size = final.shape[2]
    work = np.zeros((3, 2, size, LANES), final.dtype)
    scratch, table, copy = work[0, 0], work[1], work[2]
    for tile in tile_ids:
        state = final[tile]
        state[:] = 0
        state[0, 0, :] = 1
        for g in range(n_groups):
            _step(state, 2, scratch, steps[g], sources, turns, False)
            _diagonal(state, 2, table, steps[g], cosines, sines, tables, base, entries, cos[tile], sin[tile], 1)
        for r in range(len(steps) - n_groups):
            copy[:] = state
            _step(copy, 2, scratch, steps[n_groups + r], sources, turns, False)
            out = squares[r, tile]
            for row in range(size):
                for lane in range(LANES):
                    x, y = copy[0, row, lane], copy[1, row, lane]
                    out[row, lane] = scale[r] * (x * x + y * y)


@jit
def backward(
    tile_ids,
    steps,
    n_groups,
    sources,
    turns,
    cosines,
    sines,
    tables,
    base,
    entries,
    cos,
    sin,
    final,
    weights,
    grad_shared,
    grad_sample,
):
    """Add Im(conj(adjoint) state) to `grad_shared` (diagonals, 2**n, LANES), tile after tile; set `grad_sample`.

    `weights` are the derivatives of the loss by |amplitude|**2 times `scale`, (readouts, tiles, 2**n, LANES).

    Parameters
    ----------
    weights
        Derivatives of the loss by |amplitude|**2 times `scale`, `(readouts, tiles, 2**n, LANES)`.
    grad_shared
        `(diagonals, 2**n, LANES)`; added to.
    grad_sample
        Of the angles of each sample; written.
    """
    size = final.shape[2]
    work = np.zeros((2, 2, size, LANES), final.dtype)
    scratch, table = work[0, 0], work[1]
    planes = np.zeros((4, size, LANES), final.dtype)  # the state, then its adjoint: real, imaginary parts
    for tile in tile_ids:
        planes[2:] = 0
        for r in range(len(steps) - n_groups):
            planes[:2] = final[tile]
            for turn in range(2):  # there, times the weights, and back
                _step(planes, 2, scratch, steps[n_groups + r], sources, turns, turn == 1)
                if turn == 0:
                    for half in range(2):
                        for row in range(size):
                            vectors.multiply_row(planes[half], row, weights[r, tile], row)
            for half in range(2):
                for row in range(size):
                    vectors.add_row(planes[2 + half], row, planes[half], row)
        planes[:2] = final[tile]
        for g in range(n_groups - 1, -1, -1):
            step = steps[g]
            for row in range(size):
                vectors.cross(scratch, planes[2], planes[3], planes[0], planes[1], row)
            if step[SHARED] >= 0:
                total = grad_shared[step[SHARED]]
                for row in range(size):
                    vectors.add_row(total, row, scratch, row)
            for t in range(step[FIRST], step[END]):
                sums, entry = table[0], entries[t]
                sums[: 1 << tables[t, 1]] = 0
                for row in range(size):
                    vectors.add_row(sums, entry[row], scratch, row)
                tiles.fold_table(grad_sample[tile], sums, tables[t, 0], tables[t, 1])
            if g == 0:
                break
            _diagonal(planes, 4, table, step, cosines, sines, tables, base, entries, cos[tile], sin[tile], -1)
            _step(planes, 4, scratch, step, sources, turns, True)
