"""Integer matrix products for the kernels: bits of 64 chains times 16-bit couplings, exact, on CPUs with AVX-512 VNNI.

Couplings are rounded once to 16-bit fixed point and split into two signed bytes; spins are kept next to their float
form as bytes 0/1, four sites to a 32-bit word. One `vpdpbusd` then multiplies and adds 64 pairs of bytes, about ten
times what float32 does. Nothing is rounded after the couplings, so that the result does not depend on the order.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

from samplers.kernels.rng import FAST, LANES

#: The largest 16-bit value whose high byte is at most 127 when the low byte is signed.
LARGEST = 127 * 256 + 127


@functools.cache
def available() -> bool:
    """Return whether this CPU, as numba compiles for it, has the instruction."""
    # numba sets these from the environment when it is imported
    name, features = getattr(config, "CPU_NAME", None), getattr(config, "CPU_FEATURES", None)
    if name or features:
        return "+avx512vnni" in (features or "")
    return bool(binding.get_host_cpu_features().get("avx512vnni", False))


@dataclass(frozen=True)
class Packed:
    """A matrix in fixed point.

    Attributes
    ----------
    words
        `(ceil(rows / 2), ceil(columns / 4), 4)` uint32: for a pair of rows and four columns the high and low bytes
        of the first row, then of the second.
    row_sums
        `(rows,)` int32.
    scale
        The value of one unit.
    rounded
        `(rows, columns)` float32: the matrix that is meant.
    """

    words: np.ndarray
    row_sums: np.ndarray
    scale: np.float32
    rounded: np.ndarray


def pack(matrix: np.ndarray, most: float | None = None) -> Packed:
    """Return `matrix`, `(rows, columns)`, in 16-bit fixed point; `most` is its largest magnitude, where it is known."""
    rows, columns = matrix.shape
    matrix = np.ascontiguousarray(matrix)
    scale = max((largest(matrix) if most is None else most) / LARGEST, 1e-30)
    words = np.zeros((-(-rows // 2), -(-columns // 4), 4), dtype=np.uint32)
    row_sums = np.empty(rows, dtype=np.int32)
    rounded = np.empty((rows, columns), dtype=np.float32)
    _pack(matrix, 1.0 / scale, np.float32(scale), words.view(np.int8), row_sums, rounded)
    return Packed(words, row_sums, np.float32(scale), rounded)


def largest(values: np.ndarray) -> float:
    """Return the largest magnitude, 0 for none."""
    # numpy's, twice: one kernel fewer to compile before the first draw
    return max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))


@numba.njit(cache=True, nogil=True)
def _pack(matrix, inverse, scale, limbs, row_sums, rounded):
    rows, columns = matrix.shape
    # filled up to fours
    units = np.zeros(-(-columns // 4) * 4, dtype=np.int32)
    for i in range(rows):
        row, out = matrix[i], rounded[i]
        # loops that write one array each vectorise
        for j in range(columns):
            units[j] = np.int32(max(min(np.rint(row[j] * inverse), float(LARGEST)), -float(LARGEST)))
        total = 0
        for j in range(columns):
            out[j] = np.float32(units[j]) * scale
            total += units[j]
        row_sums[i] = total
        first = 8 * (i % 2)
        for four in range(len(units) // 4):
            word = limbs[i // 2, four]
            for k in range(4):
                unit = units[4 * four + k]
                low = ((unit + 128) & 255) - 128
                word[first + k] = (unit - low) >> 8
                word[first + 4 + k] = low


@numba.njit(fastmath=FAST)
def pack_spins(spins, words):
    """Write the signs of `spins`, `(n, 64)` float32, as bytes 0/1 to `words`, `(ceil(n / 4), 64)` uint32."""
    words[:] = np.uint32(0)
    for site in range(spins.shape[0]):
        set_spin(spins, words, site, site)


@numba.njit(fastmath=FAST)
def set_spin(spins, words, site, place):
    """Copy the spins of one site, a row of `(n, 64)` float32, to the byte `place` of `words`.

    Parameters
    ----------
    spins
        `(n, 64)` float32 in -1/+1.
    words
        Packed bits; written.
    site, place
        Which spin, and where its bits go.
    """
    shift = np.uint32(8 * (place % 4))
    keep = np.uint32(~np.uint32(np.uint32(255) << shift))
    word = place // 4
    for lane in range(LANES):
        bit = np.uint32(np.uint32(spins[site, lane] > 0) << shift)
        words[word, lane] = np.uint32(np.uint32(words[word, lane] & keep) | bit)


@intrinsic
def dot_pair(typingctx: Any, spins: Any, words: Any, pair: Any, out: Any):
    """Write the products of two rows with all columns of bits, `out[r, lane] = sum_j row[r, j] bit[j, lane]`.

    `spins` is `(m, 64)` uint32 as written by `pack_spins`, `words` `Packed.words`, whose entry `pair` holds the two
    rows; `out` `(2, 64)` int32; all contiguous.

    Parameters
    ----------
    spins
        `(m, 64)` uint32 as written by `pack_spins`.
    words
        `Packed.words`.
    pair
        Entry of `words` that holds the two rows.
    out
        `(2, 64)` int32; written.
    """
    signature = types.void(spins, words, types.int64, out)

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        i32, i64 = ir.IntType(32), ir.IntType(64)
        vector = ir.VectorType(i32, 16)
        arrays = [context.make_array(signature.args[k])(context, builder, arguments[k]) for k in (0, 1, 3)]
        spin_at = builder.bitcast(arrays[0].data, vector.as_pointer())
        word_at = builder.bitcast(arrays[1].data, i32.as_pointer())
        out_at = builder.bitcast(arrays[2].data, vector.as_pointer())
        accumulate = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), "llvm.x86.avx512.vpdpbusd.512"
        )
        zero = ir.Constant(vector, None)
        undefined = ir.Constant(vector, ir.Undefined)
        # 2 rows x 2 bytes x 4 vectors of chains: 16 accumulators, which live in registers
        sums = [[cgutils.alloca_once(builder, vector) for _ in range(4)] for _ in range(4)]
        for row in sums:
            for place in row:
                builder.store(zero, place)
        length = builder.extract_value(arrays[0].shape, 0)
        start = builder.mul(arguments[2], builder.mul(length, ir.Constant(i64, 4)))
        word_at = builder.gep(word_at, [start])
        with cgutils.for_range(builder, length) as loop:
            first = builder.mul(loop.index, ir.Constant(loop.index.type, 4))
            at = [builder.add(first, ir.Constant(loop.index.type, v)) for v in range(4)]
            bits = [builder.load(builder.gep(spin_at, [a]), align=4) for a in at]
            for row, a in zip(sums, at, strict=True):
                word = builder.insert_element(undefined, builder.load(builder.gep(word_at, [a])), ir.Constant(i32, 0))
                repeated = builder.shuffle_vector(word, undefined, zero)
                for v in range(4):
                    builder.store(builder.call(accumulate, [builder.load(row[v]), bits[v], repeated]), row[v])
        eight = ir.Constant(vector, [8] * 16)
        for r in range(2):
            for v in range(4):
                high = builder.shl(builder.load(sums[2 * r][v]), eight)
                total = builder.add(high, builder.load(sums[2 * r + 1][v]))
                builder.store(total, builder.gep(out_at, [ir.Constant(i64, 4 * r + v)]), align=4)
        return context.get_dummy_value()

    return signature, codegen
