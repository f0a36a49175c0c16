"""A Walsh-Hadamard transform in place for long vectors: blocks that fit the cache first, then the long strides."""

from __future__ import annotations

from qbmvae.circuits.kernels import tiles
from qbmvae.circuits.kernels.tiles import LANES, jit

BLOCK = 2**11  # rows of LANES numbers: 128 KiB in single precision


@jit
def walsh_hadamard(rows, mask, factor):
    """Transform a vector seen as (rows, LANES) over the bits of `mask` (of its flat index), times `factor`."""
    count = len(rows)
    block = min(BLOCK, count)
    low, high = mask % LANES, mask // LANES
    for start in range(0, count, block):
        part = rows[start : start + block]
        for row in range(block):
            h = 1
            while h < LANES:
                if low & h:
                    for top in range(0, LANES, 2 * h):
                        for lane in range(top, top + h):
                            a, b = part[row, lane], part[row, lane + h]
                            part[row, lane] = a + b
                            part[row, lane + h] = a - b
                h *= 2
            for lane in range(LANES):
                part[row, lane] *= factor
        tiles.walsh_hadamard(part, block, high & (block - 1))
    tiles.walsh_hadamard(rows, count, high & ~(block - 1))
