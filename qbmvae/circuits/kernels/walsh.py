"""A Walsh-Hadamard transform in place for long vectors: blocks that fit the cache first, then the long strides."""

from __future__ import annotations

from qbmvae.circuits.kernels import tiles, vectors
from qbmvae.circuits.kernels.tiles import LANES, jit

BLOCK = 2**11  # rows of LANES numbers: 128 KiB in single precision


@jit
def walsh_hadamard(rows, mask, factor):
    """Transform a vector seen as (rows, LANES) over the bits of `mask` (of its flat index), times `factor`.

    Parameters
    ----------
    rows
        `(size / LANES, LANES)`; written.
    mask
        Bits to transform.
    factor
        Multiplies the result.
    """
    count = len(rows)
    block = min(BLOCK, count)
    low, high = mask % LANES, mask // LANES
    for start in range(0, count, block):
        part = rows[start : start + block]
        for row in range(block):
            if low & 1:
                vectors.lanes1(part, row)
            if low & 2:
                vectors.lanes2(part, row)
            if low & 4:
                vectors.lanes4(part, row)
            if low & 8:
                vectors.lanes8(part, row)
            vectors.scale_row(part, row, factor)
        tiles.walsh_hadamard(part, block, high & (block - 1))
    tiles.walsh_hadamard(rows, count, high & ~(block - 1))
