"""RY rotations followed by CX gates: independent bits sent through a linear map over GF(2), exactly.

A CX permutes the basis states, so that measuring first and toggling afterwards gives the same distribution: each gene
starts as an independent Bernoulli bit with P(on) = sin^2(theta / 2), and a gate adds the control's bit to the target's
modulo 2. Bits are held 64 cells a word, one row a gene; a gate is one XOR of two rows.

Parameters
----------
fixed, gates
    What `starting_bits` and `gate_arrays` return.
n_cells
    How many.
rng
    The generator.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from qbmvae.cellsim.gates import Edge

#: Words of a gene that stay in cache while all gates run over them.
TILE = 64


def starting_bits(p_on: np.ndarray) -> np.ndarray:
    """Return P(on) as 64-bit fixed point: a bit is on where a uniform 64-bit integer is below it."""
    p = np.clip(np.asarray(p_on, dtype=np.float64), 0.0, 1.0)
    fixed = np.empty(len(p), dtype=np.uint64)
    high = np.floor(p * 2.0**32)
    low = np.floor((p * 2.0**32 - high) * 2.0**32)
    full = high >= 2.0**32
    high[full], low[full] = 2.0**32 - 1, 2.0**32 - 1
    fixed[:] = (high.astype(np.uint64) << np.uint64(32)) | low.astype(np.uint64)
    return fixed


def gate_arrays(edges: Sequence[Edge]) -> np.ndarray:
    """Return CX gates as an `(n_gates, 3)` int32 array of control, target and whether the control is open."""
    return np.array([(e.control, e.target, e.open) for e in edges], dtype=np.int32).reshape(-1, 3)


def sample_packed(fixed: np.ndarray, gates: np.ndarray, n_cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return outcomes packed 64 cells a word, `(n_genes, 2 * ceil(n_cells / 128))` uint64.

    Bit j of word w of a row is cell `64 w + j`; the bits of the last words beyond `n_cells` belong to no cell.

    Parameters
    ----------
    fixed, gates
        What `starting_bits` and `gate_arrays` return.
    """
    out = np.empty((len(fixed), 2 * -(-n_cells // 128)), dtype=np.uint64)
    state = rng.integers(0, 2**64, size=(4, 2), dtype=np.uint64)
    _draw(fixed, gates, state, out)
    return out


def sample(fixed: np.ndarray, gates: np.ndarray, n_cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return `(n_cells, n_genes)` uint8 outcomes; see the module for why they are exact."""
    return unpack(sample_packed(fixed, gates, n_cells, rng), n_cells)


def unpack(packed: np.ndarray, n_cells: int) -> np.ndarray:
    """Return packed outcomes as `(n_cells, n_genes)` uint8."""
    out = np.empty((n_cells, len(packed)), dtype=np.uint8)
    _unpack(packed, out)
    return out


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _draw(fixed, gates, state, out):
    # two xoshiro256++ streams side by side, in scalars: arrays of lanes would alias for the compiler (3 x slower)
    a0, a1, a2, a3 = state[0, 0], state[1, 0], state[2, 0], state[3, 0]
    b0, b1, b2, b3 = state[0, 1], state[1, 1], state[2, 1], state[3, 1]
    n_genes, n_words = out.shape
    one, zero = np.uint64(1), np.uint64(0)
    ones = ~zero
    for start in range(0, n_words, TILE):
        stop = min(start + TILE, n_words)
        for g in range(n_genes):
            if fixed[g] == zero or fixed[g] == ones:
                out[g, start:stop] = fixed[g]
                continue
            for w in range(start, stop, 2):
                # compare a uniform 64-bit integer a cell with p, most significant bit first, 64 cells a word; stop as
                # soon as every cell is decided
                p = fixed[g]
                open_a, open_b, on_a, on_b = ones, ones, zero, zero
                while (open_a | open_b) != zero:
                    bit = zero - (p >> np.uint64(63))
                    p = p << one
                    r = a0 + a3
                    r = ((r << np.uint64(23)) | (r >> np.uint64(41))) + a0
                    t = a1 << np.uint64(17)
                    a2 ^= a0
                    a3 ^= a1
                    a1 ^= a2
                    a0 ^= a3
                    a2 ^= t
                    a3 = (a3 << np.uint64(45)) | (a3 >> np.uint64(19))
                    differs = (r ^ bit) & open_a
                    on_a |= differs & bit
                    open_a &= ~differs
                    r = b0 + b3
                    r = ((r << np.uint64(23)) | (r >> np.uint64(41))) + b0
                    t = b1 << np.uint64(17)
                    b2 ^= b0
                    b3 ^= b1
                    b1 ^= b2
                    b0 ^= b3
                    b2 ^= t
                    b3 = (b3 << np.uint64(45)) | (b3 >> np.uint64(19))
                    differs = (r ^ bit) & open_b
                    on_b |= differs & bit
                    open_b &= ~differs
                out[g, w], out[g, w + 1] = on_a, on_b
        for m in range(len(gates)):
            c, t = gates[m, 0], gates[m, 1]
            flip = ones if gates[m, 2] else zero
            for w in range(start, stop):
                out[t, w] ^= out[c, w] ^ flip


@numba.njit(cache=True, nogil=True)
def _unpack(packed, out):
    n_cells, n_genes = out.shape
    for w in range((n_cells + 63) // 64):
        stop = min(64, n_cells - 64 * w)
        for g in range(n_genes):
            word = packed[g, w]
            for j in range(stop):
                out[64 * w + j, g] = np.uint8((word >> np.uint64(j)) & np.uint64(1))


def probabilities(p_on: np.ndarray, edges: Sequence[Edge]) -> np.ndarray:
    """Return the probability of each outcome, `(2**n,)`, gene 0 the most significant bit."""
    n = len(p_on)
    p = np.ones(1)
    for q in p_on:
        p = np.multiply.outer(p, np.array([1.0 - q, q])).reshape(-1)
    outcome = np.arange(2**n)
    for e in edges:
        control = (outcome >> (n - 1 - e.control)) & 1
        outcome = outcome ^ ((control ^ e.open) << (n - 1 - e.target))
    final = np.empty_like(p)
    final[outcome] = p
    return final


def marginals(p_on: np.ndarray, edges: Sequence[Edge]) -> np.ndarray:
    """Return P(on) of each gene after the gates, `(n,)`, for any number of genes.

    A final bit is the parity of a set of starting bits, so E[(-1)^bit] is the product of theirs.
    """
    n = len(p_on)
    rows = [1 << g for g in range(n)]
    flip = [False] * n
    for e in edges:
        rows[e.target] ^= rows[e.control]
        flip[e.target] ^= flip[e.control] ^ e.open
    bias = 1.0 - 2.0 * np.asarray(p_on, dtype=np.float64)
    size = (n + 7) // 8
    out = np.empty(n)
    for g, row in enumerate(rows):
        if row == 1 << g:
            out[g] = 1.0 - p_on[g] if flip[g] else p_on[g]
            continue
        used = np.unpackbits(np.frombuffer(row.to_bytes(size, "little"), np.uint8), bitorder="little")[:n]
        product = np.prod(bias[used.astype(bool)]) * (-1.0 if flip[g] else 1.0)
        out[g] = (1.0 - product) / 2.0
    return out
