"""Run a whole program tile by tile: forward keeps the last state alone, backward recomputes states as it goes."""

from __future__ import annotations

import numpy as np

from qbmvae.circuits.kernels import tiles
from qbmvae.circuits.kernels.tiles import LANES, jit

# columns of `steps`: Hadamards before, monomial row or -1, Hadamards after, shared diagonal row or -1, first table, end
BEFORE, MONOMIAL, AFTER, SHARED, FIRST, END = range(6)


@jit
def _move(re, im, scratch, size, step, sources, turns):
    tiles.walsh_hadamard(re, size, step[BEFORE])
    tiles.walsh_hadamard(im, size, step[BEFORE])
    if step[MONOMIAL] >= 0:
        tiles.monomial(re, im, scratch, size, sources[step[MONOMIAL]], turns[step[MONOMIAL]], False)
    tiles.walsh_hadamard(re, size, step[AFTER])
    tiles.walsh_hadamard(im, size, step[AFTER])


@jit
def _back(re, im, scratch, size, step, sources, turns):
    tiles.walsh_hadamard(re, size, step[AFTER])
    tiles.walsh_hadamard(im, size, step[AFTER])
    if step[MONOMIAL] >= 0:
        tiles.monomial(re, im, scratch, size, sources[step[MONOMIAL]], turns[step[MONOMIAL]], True)
    tiles.walsh_hadamard(re, size, step[BEFORE])
    tiles.walsh_hadamard(im, size, step[BEFORE])


@jit
def forward(
    tile_ids,
    steps,
    n_groups,
    sources,
    turns,
    shared_cos,
    shared_sin,
    tables,
    base,
    entries,
    cos,
    sin,
    scale,
    final_re,
    final_im,
    squares,
):
    """Evaluate tiles: last states into `final_*` (tiles, 2**n, LANES), |amplitude|**2 a readout into `squares`.

    `steps` holds the groups, then the readouts; `tables` is (first string, count) a table, `base` a factor on
    it, `entries` its rows by basis state; `cos`, `sin` are of half the per-sample angles (tiles, n_sample, LANES); `scale` the factor of a
    readout's Hadamards.
    """
    size = final_re.shape[1]
    scratch = tiles.zeros(size, final_re)
    table_re, table_im = tiles.zeros(size, final_re), tiles.zeros(size, final_re)
    copy_re, copy_im = tiles.zeros(size, final_re), tiles.zeros(size, final_re)
    for tile in tile_ids:
        re, im = final_re[tile], final_im[tile]
        re[:] = 0
        im[:] = 0
        re[0, :] = 1
        for g in range(n_groups):
            step = steps[g]
            _move(re, im, scratch, size, step, sources, turns)
            if step[SHARED] >= 0:
                tiles.multiply_shared(re, im, size, shared_cos[step[SHARED]], shared_sin[step[SHARED]], False)
            for t in range(step[FIRST], step[END]):
                tiles.build_table(table_re, table_im, cos[tile], sin[tile], tables[t, 0], tables[t, 1], base[t])
                tiles.multiply_table(re, im, size, table_re, table_im, entries[t], 1)
        for r in range(len(steps) - n_groups):
            copy_re[:] = re
            copy_im[:] = im
            _move(copy_re, copy_im, scratch, size, steps[n_groups + r], sources, turns)
            out, factor = squares[r, tile], scale[r]
            for row in range(size):
                for lane in range(LANES):
                    x, y = copy_re[row, lane], copy_im[row, lane]
                    out[row, lane] = factor * (x * x + y * y)


@jit
def backward(
    tile_ids,
    steps,
    n_groups,
    sources,
    turns,
    shared_cos,
    shared_sin,
    tables,
    base,
    entries,
    cos,
    sin,
    scale,
    final_re,
    final_im,
    weights,
    grad_shared,
    grad_sample,
):
    """Add sum over samples of Im(conj(adjoint) state) to `grad_shared` (diagonals, 2**n); set `grad_sample`.

    `weights` are the derivatives of the loss by |amplitude|**2, (readouts, tiles, 2**n, LANES).
    """
    size = final_re.shape[1]
    scratch = tiles.zeros(size, final_re)
    table_re, table_im = tiles.zeros(size, final_re), tiles.zeros(size, final_re)
    re, im = tiles.zeros(size, final_re), tiles.zeros(size, final_re)
    adj_re, adj_im = tiles.zeros(size, final_re), tiles.zeros(size, final_re)
    for tile in tile_ids:
        adj_re[:] = 0
        adj_im[:] = 0
        for r in range(len(steps) - n_groups):
            re[:] = final_re[tile]
            im[:] = final_im[tile]
            _move(re, im, scratch, size, steps[n_groups + r], sources, turns)
            weight, factor = weights[r, tile], scale[r]
            for row in range(size):
                for lane in range(LANES):
                    re[row, lane] *= factor * weight[row, lane]
                    im[row, lane] *= factor * weight[row, lane]
            _back(re, im, scratch, size, steps[n_groups + r], sources, turns)
            for row in range(size):
                for lane in range(LANES):
                    adj_re[row, lane] += re[row, lane]
                    adj_im[row, lane] += im[row, lane]
        re[:] = final_re[tile]
        im[:] = final_im[tile]
        for g in range(n_groups - 1, -1, -1):
            step = steps[g]
            if step[SHARED] >= 0:
                total = grad_shared[step[SHARED]]
                for row in range(size):
                    value = scratch[0, 0] * 0
                    for lane in range(LANES):
                        value += adj_re[row, lane] * im[row, lane] - adj_im[row, lane] * re[row, lane]
                    total[row] += value
            for t in range(step[FIRST], step[END]):
                _table_gradient(
                    grad_sample[tile], scratch, re, im, adj_re, adj_im, size, entries[t], tables[t, 0], tables[t, 1]
                )
            if g == 0:
                break
            if step[SHARED] >= 0:
                tiles.multiply_shared(re, im, size, shared_cos[step[SHARED]], shared_sin[step[SHARED]], True)
                tiles.multiply_shared(adj_re, adj_im, size, shared_cos[step[SHARED]], shared_sin[step[SHARED]], True)
            for t in range(step[FIRST], step[END]):
                tiles.build_table(table_re, table_im, cos[tile], sin[tile], tables[t, 0], tables[t, 1], base[t])
                tiles.multiply_table(re, im, size, table_re, table_im, entries[t], -1)
                tiles.multiply_table(adj_re, adj_im, size, table_re, table_im, entries[t], -1)
            _back(re, im, scratch, size, step, sources, turns)
            _back(adj_re, adj_im, scratch, size, step, sources, turns)


@jit
def _table_gradient(grad, scratch, re, im, adj_re, adj_im, size, entry, first, count):
    for u in range(1 << count):
        for lane in range(LANES):
            scratch[u, lane] = 0
    for row in range(size):
        e = entry[row]
        for lane in range(LANES):
            scratch[e, lane] += adj_re[row, lane] * im[row, lane] - adj_im[row, lane] * re[row, lane]
    tiles.fold_table(grad, scratch, first, count)


def threads(work: list[np.ndarray], run) -> None:
    """Call `run(k, part)` for every part, on one thread a part."""
    if len(work) == 1:
        run(0, work[0])
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(work)) as pool:
        list(pool.map(run, range(len(work)), work))
