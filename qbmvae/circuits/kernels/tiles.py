"""Kernels over a tile: the states of LANES samples at once, (2**n, LANES) real and imaginary parts, in the L1/L2 cache.

Samples are innermost, so every operation of the Clifford frame (butterfly, diagonal, gather of rows) is a loop over
neighbouring numbers that the compiler turns into vector instructions. Butterflies are not normalised: the factor
of a step is in the diagonal after it.
"""

from __future__ import annotations

import numba as nb
import numpy as np

LANES = 16
FAST = {"reassoc", "contract", "nsz", "arcp"}
jit = nb.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")


@jit
def butterfly4(a, size, h, k):
    """Two stages, of strides h < k, in one pass."""
    for top in range(0, size, 2 * k):
        for middle in range(top, top + k, 2 * h):
            for row in range(middle, middle + h):
                for lane in range(LANES):
                    a0, a1, a2, a3 = a[row, lane], a[row + h, lane], a[row + k, lane], a[row + h + k, lane]
                    s0, s1, s2, s3 = a0 + a1, a0 - a1, a2 + a3, a2 - a3
                    a[row, lane] = s0 + s2
                    a[row + h, lane] = s1 + s3
                    a[row + k, lane] = s0 - s2
                    a[row + h + k, lane] = s1 - s3


@jit
def butterfly2(a, size, h):
    """One stage of stride h."""
    for top in range(0, size, 2 * h):
        for row in range(top, top + h):
            for lane in range(LANES):
                a0, a1 = a[row, lane], a[row + h, lane]
                a[row, lane] = a0 + a1
                a[row + h, lane] = a0 - a1


@jit
def walsh_hadamard(a, size, mask):
    """Hadamards (not normalised) on the qubits of a mask."""
    pending = 0
    h = 1
    while h < size:
        if mask & h:
            if pending:
                butterfly4(a, size, pending, h)
                pending = 0
            else:
                pending = h
        h *= 2
    if pending:
        butterfly2(a, size, pending)


@jit
def monomial(re, im, scratch, size, source, turns, inverse):
    """out[y] = i**turns[y] state[source[y]], or the inverse map."""
    for plane in range(2):
        a = re if plane == 0 else im
        for y in range(size):
            s, t = (y, source[y]) if inverse else (source[y], y)
            for lane in range(LANES):
                scratch[t, lane] = a[s, lane]
        for y in range(size):
            for lane in range(LANES):
                a[y, lane] = scratch[y, lane]
    for y in range(size):
        # the phase is on the output side: for the inverse it was on row y before the move, now at source[y]
        row = source[y] if inverse else y
        turn = (4 - turns[y]) % 4 if inverse else turns[y]
        if turn == 1:
            for lane in range(LANES):
                x = re[row, lane]
                re[row, lane] = -im[row, lane]
                im[row, lane] = x
        elif turn == 2:
            for lane in range(LANES):
                re[row, lane] = -re[row, lane]
                im[row, lane] = -im[row, lane]
        elif turn == 3:
            for lane in range(LANES):
                x = re[row, lane]
                re[row, lane] = im[row, lane]
                im[row, lane] = -x


@jit
def multiply_shared(re, im, size, cos, sin, conjugate):
    """Multiply by a diagonal that all samples share."""
    for row in range(size):
        c, s = cos[row], -sin[row] if conjugate else sin[row]
        for lane in range(LANES):
            x, y = re[row, lane], im[row, lane]
            re[row, lane] = x * c - y * s
            im[row, lane] = x * s + y * c


@jit
def multiply_table(re, im, size, table_re, table_im, entry, sign):
    """Multiply by a diagonal of each sample, or its conjugate: row x takes table row entry[x]; sign is 1 or -1."""
    for row in range(size):
        e = entry[row]
        for lane in range(LANES):
            c, s = table_re[e, lane], sign * table_im[e, lane]
            x, y = re[row, lane], im[row, lane]
            re[row, lane] = x * c - y * s
            im[row, lane] = x * s + y * c


@jit
def build_table(table_re, table_im, cos, sin, first, count, base):
    """table[u] = base * exp(-i/2 sum_k (-1)**u_k angle_k) for `count` strings whose cos, sin (of half angles) begin at `first`."""
    for lane in range(LANES):
        table_re[0, lane] = base
        table_im[0, lane] = 0
    length = 1
    for k in range(count):
        for u in range(length):
            for lane in range(LANES):
                c, s = cos[first + k, lane], sin[first + k, lane]
                x, y = table_re[u, lane], table_im[u, lane]
                table_re[u, lane] = x * c + y * s
                table_im[u, lane] = y * c - x * s
                table_re[u + length, lane] = x * c - y * s
                table_im[u + length, lane] = y * c + x * s
        length *= 2


@jit
def fold_table(grad, table, first, count):
    """grad[first + k] = sum_u (-1)**u_k table[u]; overwrites the table."""
    length = 1 << count
    for k in range(count - 1, -1, -1):
        length //= 2
        for lane in range(LANES):
            grad[first + k, lane] = 0
        for u in range(length):
            for lane in range(LANES):
                x, y = table[u, lane], table[u + length, lane]
                grad[first + k, lane] += x - y
                table[u, lane] = x + y


@jit
def zeros(size, like):
    """Return a tile of zeros of the type of `like`."""
    return np.zeros((size, LANES), dtype=like.dtype)
