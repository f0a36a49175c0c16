"""Kernels over a tile: the states of LANES samples at once, (2**n, LANES) real and imaginary parts, in the L1/L2 cache.

Samples are innermost, so every operation of the Clifford frame (butterfly, diagonal, gather of rows) is a loop over
neighbouring numbers, in vector instructions. Butterflies are not normalised: the factor
of a step is in the diagonal after it.

Parameters
----------
a, planes
    One plane `(2**n, LANES)`, or several `(count, 2**n, LANES)`, real and imaginary parts in turn; written.
count, size
    Planes, and rows of each.
scratch
    A plane to write to on the way.
mask
    Qubits to transform.
source, turns
    The monomial map.
inverse
    Whether to undo it.
sign
    1 for the diagonal, -1 for its conjugate.
table
    A diagonal of each sample by entry, `(2, entries, LANES)`.
cos, sin
    Of half angles, by row and sample.
first, count
    First string and number of strings.
"""

from __future__ import annotations

import numba as nb

from qbmvae.circuits.kernels import vectors
from qbmvae.circuits.kernels.vectors import LANES  # noqa: F401  (the kernels' callers take it from here)

FAST = {"reassoc", "contract", "nsz", "arcp"}
jit = nb.njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")


@jit
def walsh_hadamard(a, size, mask):
    """Hadamards (not normalised) on the qubits of a mask, four at a time."""
    while mask:
        h = mask & -mask
        rest = mask ^ h
        i = rest & -rest
        rest ^= i
        j = rest & -rest
        rest ^= j
        k = rest & -rest
        if k:
            mask = rest ^ k
            skip = h | i | j | k
            row = 0
            while row < size:
                vectors.hadamard16(a, row, h, i, j, k)
                row = ((row | skip) + 1) & ~skip  # the next row whose bits at the strides are zero
        elif i:
            mask = rest | j
            skip = h | i
            row = 0
            while row < size:
                vectors.hadamard4(a, row, h, i)
                row = ((row | skip) + 1) & ~skip
        else:
            mask = 0
            row = 0
            while row < size:
                vectors.hadamard2(a, row, h)
                row = ((row | h) + 1) & ~h


@jit
def monomial(planes, count, scratch, size, source, turns, inverse):
    """out[y] = i**turns[y] state[source[y]] on (real, imaginary) pairs of planes, or the inverse map."""
    for plane in range(0, count, 2):
        for half in range(2):
            a = planes[plane + half]
            for y in range(size):
                if inverse:
                    vectors.copy_row(scratch, source[y], a, y)
                else:
                    vectors.copy_row(scratch, y, a, source[y])
            for y in range(size):
                vectors.copy_row(a, y, scratch, y)
        re, im = planes[plane], planes[plane + 1]
        for y in range(size):
            # the phase belongs to the output: row y, which the inverse map has moved to source[y]
            turn = (4 - turns[y]) % 4 if inverse else turns[y]
            if turn:
                # i**turn = c + i s
                c, s = (0, 2 - turn) if turn % 2 else (1 - turn, 0)
                vectors.rotate(re, im, source[y] if inverse else y, c, s)


@jit
def apply_step(planes, count, scratch, size, before, monomials, after, source, turns, inverse):
    """Hadamards, the monomial map where there is one, Hadamards; or the inverse.

    Parameters
    ----------
    before, after
        Masks of the Hadamards.
    monomials
        Whether there is a monomial map.
    """
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
            vectors.rotate(re, im, row, cos[row], sign * sin[row])


@jit
def multiply_table(planes, count, size, table, entry, sign):
    """Multiply by a diagonal of each sample, or its conjugate: row x takes table row entry[x]; sign is 1 or -1.

    Parameters
    ----------
    entry
        Row of the table by basis state.
    """
    table_re, table_im = table[0], table[1]
    for plane in range(0, count, 2):
        re, im = planes[plane], planes[plane + 1]
        for row in range(size):
            vectors.rotate_rows(re, im, row, table_re, table_im, entry[row], sign)


@jit
def build_table(table, cos, sin, first, count, base):
    """table[u] = base * exp(-i/2 sum_k (-1)**u_k angle_k), from cos, sin of half angles of strings first, first + 1, ...

    Parameters
    ----------
    base
        A factor on the table.
    """
    re, im = table[0], table[1]
    re[0, :] = base
    im[0, :] = 0
    length = 1
    for k in range(first, first + count):
        for u in range(length):
            vectors.split(re, im, u, u + length, cos, sin, k)
        length *= 2


@jit
def fold_table(grad, table, first, count):
    """grad[first + k] = sum_u (-1)**u_k table[u]; overwrites the table.

    Parameters
    ----------
    grad
        By string and sample; written.
    """
    length = 1 << count
    for k in range(first + count - 1, first - 1, -1):
        length //= 2
        grad[k, :] = 0
        for u in range(length):
            vectors.add_row(grad, k, table, u)
            vectors.subtract_row(grad, k, table, u + length)
            vectors.add_row(table, u, table, u + length)
