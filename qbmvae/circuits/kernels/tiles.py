"""Kernels over a tile: the states of LANES samples at once, (2**n, LANES) real and imaginary parts, in the L1/L2 cache.

Samples are innermost, so every operation of the Clifford frame (butterfly, diagonal, gather of rows) is a loop over
neighbouring numbers that the compiler turns into vector instructions. Butterflies are not normalised: the factor
of a step is in the diagonal after it.
"""

from __future__ import annotations

import numba as nb

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
def monomial(planes, count, scratch, size, source, turns, inverse):
    """out[y] = i**turns[y] state[source[y]] on (real, imaginary) pairs of planes, or the inverse map."""
    for plane in range(0, count, 2):
        for half in range(2):
            a = planes[plane + half]
            for y in range(size):
                s, t = (y, source[y]) if inverse else (source[y], y)
                for lane in range(LANES):
                    scratch[t, lane] = a[s, lane]
            for y in range(size):
                for lane in range(LANES):
                    a[y, lane] = scratch[y, lane]
        re, im = planes[plane], planes[plane + 1]
        for y in range(size):
            # the phase belongs to the output: row y, which the inverse map has moved to source[y]
            row = source[y] if inverse else y
            turn = (4 - turns[y]) % 4 if inverse else turns[y]
            if turn:
                # i**turn = c + i s
                c, s = (0, 2 - turn) if turn % 2 else (1 - turn, 0)
                for lane in range(LANES):
                    x, v = re[row, lane], im[row, lane]
                    re[row, lane] = x * c - v * s
                    im[row, lane] = x * s + v * c


@jit
def apply_step(planes, count, scratch, size, before, monomials, after, source, turns, inverse):
    """Hadamards, the monomial map where there is one, Hadamards; or the inverse."""
    for half in range(2):
        mask = before if (half == 0) != inverse else after
        for plane in range(count):
            walsh_hadamard(planes[plane], size, mask)
        if half == 0 and monomials:
            monomial(planes, count, scratch, size, source, turns, inverse)


@jit
def multiply_shared(planes, count, size, cos, sin, sign):
    """Multiply by a diagonal that all samples share, or its conjugate; sign is 1 or -1."""
    for plane in range(0, count, 2):
        re, im = planes[plane], planes[plane + 1]
        for row in range(size):
            c, s = cos[row], sign * sin[row]
            for lane in range(LANES):
                x, y = re[row, lane], im[row, lane]
                re[row, lane] = x * c - y * s
                im[row, lane] = x * s + y * c


@jit
def multiply_table(planes, count, size, table, entry, sign):
    """Multiply by a diagonal of each sample, or its conjugate: row x takes table row entry[x]; sign is 1 or -1."""
    for plane in range(0, count, 2):
        re, im, table_re, table_im = planes[plane], planes[plane + 1], table[0], table[1]
        for row in range(size):
            e = entry[row]
            for lane in range(LANES):
                c, s = table_re[e, lane], sign * table_im[e, lane]
                x, y = re[row, lane], im[row, lane]
                re[row, lane] = x * c - y * s
                im[row, lane] = x * s + y * c


@jit
def build_table(table, cos, sin, first, count, base):
    """table[u] = base * exp(-i/2 sum_k (-1)**u_k angle_k), from cos, sin of half angles of strings first, first + 1, ..."""
    re, im = table[0], table[1]
    for lane in range(LANES):
        re[0, lane] = base
        im[0, lane] = 0
    length = 1
    for k in range(first, first + count):
        for u in range(length):
            for lane in range(LANES):
                c, s, x, y = cos[k, lane], sin[k, lane], re[u, lane], im[u, lane]
                re[u, lane] = x * c + y * s
                im[u, lane] = y * c - x * s
                re[u + length, lane] = x * c - y * s
                im[u + length, lane] = y * c + x * s
        length *= 2


@jit
def fold_table(grad, table, first, count):
    """grad[first + k] = sum_u (-1)**u_k table[u]; overwrites the table."""
    length = 1 << count
    for k in range(first + count - 1, first - 1, -1):
        length //= 2
        for lane in range(LANES):
            grad[k, lane] = 0
        for u in range(length):
            for lane in range(LANES):
                x, y = table[u, lane], table[u + length, lane]
                grad[k, lane] += x - y
                table[u, lane] = x + y
