"""exp, log and log1p in float32, inline: numba vectorises loops over these, and not over libm's."""

from __future__ import annotations

import numba
import numpy as np

#: contraction and reciprocals are free; "reassoc" would undo the rounding tricks
FAST = {"contract", "nnan", "ninf", "nsz", "arcp"}

_LN2 = np.float32(0.6931471805599453)


@numba.njit(fastmath=FAST, inline="always")
def exp32(x):
    """Return exp(x) in float32 for x in [-87, 87], relative error below 2e-7 + 8e-8 |x|."""
    t = min(max(x, np.float32(-87.0)), np.float32(87.0)) * np.float32(1.4426950408889634)
    shifted = t + np.float32(12582912.0)  # 1.5 * 2**23: the sum's low bits hold round(t)
    f = (t - (shifted - np.float32(12582912.0))) * _LN2
    # minimax on [-log(2) / 2, log(2) / 2]: 6e-8
    p = np.float32(8.2603032e-3)
    p = p * f + np.float32(4.1914158e-2)
    p = p * f + np.float32(1.6668113e-1)
    p = p * f + np.float32(4.9998939e-1)
    p = p * f + np.float32(9.9999958e-1)
    p = p * f + np.float32(1.0)
    exponent = np.int32(np.float32(shifted).view(np.int32) << np.int32(23))
    return np.int32(np.float32(p).view(np.int32) + exponent).view(np.float32)


@numba.njit(fastmath=FAST, inline="always")
def log32(w):
    """Return log(w) in float32 for normal w > 0, relative error below 3e-7 away from 1 (Cephes' logf)."""
    bits = np.float32(w).view(np.int32)
    # mantissa to [sqrt(1/2), sqrt(2))
    shift = np.int32(bits - np.int32(0x3F3504F3))
    exponent = np.int32(shift >> np.int32(23))
    m = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32) - np.float32(1.0)
    p = np.float32(7.0376836292e-2)
    p = p * m + np.float32(-1.1514610310e-1)
    p = p * m + np.float32(1.1676998740e-1)
    p = p * m + np.float32(-1.2420140846e-1)
    p = p * m + np.float32(1.4249322787e-1)
    p = p * m + np.float32(-1.6668057665e-1)
    p = p * m + np.float32(2.0000714765e-1)
    p = p * m + np.float32(-2.4999993993e-1)
    p = p * m + np.float32(3.3333331174e-1)
    z = m * m
    y = m * z * p - np.float32(0.5) * z
    e = np.float32(exponent)
    y = y + e * np.float32(-2.12194440e-4)
    return (m + y) + e * np.float32(0.693359375)


@numba.njit(fastmath=FAST, inline="always")
def log32_absolute(w):
    """Return log(w) in float32 for normal w > 0, absolute error below 6e-7 for w in [1, 1000]; cheaper than `log32`."""
    bits = np.float32(w).view(np.int32)
    shift = np.int32(bits - np.int32(0x3F3504F3))
    exponent = np.int32(shift >> np.int32(23))
    m = np.int32(bits - np.int32(exponent << np.int32(23))).view(np.float32) - np.float32(1.0)
    # minimax on [sqrt(1/2) - 1, sqrt(2) - 1]: 2e-7
    p = np.float32(1.2028097e-1)
    p = p * m + np.float32(-1.8987609e-1)
    p = p * m + np.float32(2.0580366e-1)
    p = p * m + np.float32(-2.4870841e-1)
    p = p * m + np.float32(3.3303788e-1)
    p = p * m + np.float32(-5.0002229e-1)
    p = p * m + np.float32(1.0000035)
    return p * m + np.float32(exponent) * _LN2


@numba.njit(fastmath=FAST, inline="always")
def log1p32(u):
    """Return log(1 + u) in float32 for 0 <= u < 1e30, relative error below 3e-7 (`log32`, with u's lost bits)."""
    w = np.float32(1.0) + u
    return (u - (w - np.float32(1.0))) / w + log32(w)
