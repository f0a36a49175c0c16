"""One xoshiro128++ stream a chain (Blackman and Vigna 2021, ACM TOMS 47:36), 64 chains side by side."""

from __future__ import annotations

import numba
import numpy as np

#: Chains that a kernel updates together: the length of its innermost loops.
LANES = 64

# no "reassoc": the rounding trick of `exp_negative` must stay as written
FAST = {"contract", "nnan", "ninf", "nsz", "arcp"}


def new_streams(rng: np.random.Generator, num_groups: int) -> np.ndarray:
    """Return the states of `num_groups` x 64 streams, `(num_groups, 256)` uint32: four words a lane, words apart by 64."""
    return rng.integers(0, 2**32, size=(num_groups, 4 * LANES), dtype=np.uint32)


# numba promotes uint32 arithmetic to uint64: every result is narrowed again
@numba.njit
def rotate_left(x, k):
    """Rotate a uint32 left by k bits."""
    return np.uint32(np.uint32(x << np.uint32(k)) | np.uint32(x >> np.uint32(32 - k)))


@numba.njit(fastmath=FAST, cache=True)
def fill_bits(stream, out):
    """Advance 64 streams, `(256,)` uint32, by one step each and write their outputs, `(64,)` uint32."""
    for lane in range(LANES):
        s0 = stream[lane]
        s1 = stream[LANES + lane]
        s2 = stream[2 * LANES + lane]
        s3 = stream[3 * LANES + lane]
        out[lane] = np.uint32(rotate_left(np.uint32(s0 + s3), 7) + s0)
        t = np.uint32(s1 << np.uint32(9))
        s2 = np.uint32(s2 ^ s0)
        s3 = np.uint32(s3 ^ s1)
        s1 = np.uint32(s1 ^ s2)
        s0 = np.uint32(s0 ^ s3)
        s2 = np.uint32(s2 ^ t)
        s3 = rotate_left(s3, 11)
        stream[lane] = s0
        stream[LANES + lane] = s1
        stream[2 * LANES + lane] = s2
        stream[3 * LANES + lane] = s3


@numba.njit
def uniform(bits):
    """Return a float32 in (0, 1] from 32 random bits."""
    return np.float32(np.uint32(bits | np.uint32(1))) * np.float32(2.0**-32)


@numba.njit(fastmath=FAST)
def exp_negative(x):
    """Return exp(-x) in float32, relative error below 1e-7 (2 + |x|), x held to +-80."""
    t = min(max(x, np.float32(-80.0)), np.float32(80.0)) * np.float32(-1.4426950408889634)
    shifted = t + np.float32(12582912.0)  # 1.5 * 2**23: the low bits of the sum hold round(t)
    f = t - (shifted - np.float32(12582912.0))
    p = np.float32(1.535336188319500e-4)  # 2**f on [-1/2, 1/2], Cephes' exp2f
    p = p * f + np.float32(1.339887440266574e-3)
    p = p * f + np.float32(9.618437357674640e-3)
    p = p * f + np.float32(5.550332471162809e-2)
    p = p * f + np.float32(2.402264791363012e-1)
    p = p * f + np.float32(6.931472028550421e-1)
    p = p * f + np.float32(1.0)
    exponent = np.int32(np.float32(shifted).view(np.int32) << np.int32(23))
    return np.int32(np.float32(p).view(np.int32) + exponent).view(np.float32)
