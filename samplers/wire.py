"""The binary format of requests, answers and recordings: a JSON header and raw arrays under a checksum; no pickle.

A message is `QBMS`, one byte of version, one of kind, two zero bytes, the header's length and the CRC-32 of all that
follows (both uint32), the header, and the arrays back to back, little-endian, each padded to 8 bytes. Spins travel as
one bit each.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from samplers.draws import Draws
from samplers.errors import WireError
from samplers.files import plain
from samplers.problem import Ising

MAGIC = b"QBMS"
VERSION = 1
REQUEST, ANSWER = 1, 2
_PREFIX = struct.Struct("<4sBBHII")
_DTYPES: dict[str, np.dtype[Any]] = {
    "f8": np.dtype("<f8"),
    "i4": np.dtype("<i4"),
    "i1": np.dtype("i1"),
    "u1": np.dtype("u1"),
}
_MOST_HEADER = 1 << 20


def pack(kind: int, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return one message.

    Parameters
    ----------
    kind
        REQUEST or ANSWER.
    header
        JSON values.
    arrays
        float64, int32, int8 or uint8 arrays by name.
    """
    described, payload = [], []
    for name, array in arrays.items():
        code = f"{array.dtype.kind}{array.dtype.itemsize}"
        described.append([name, code, list(array.shape)])
        data = np.ascontiguousarray(array, dtype=_DTYPES[code]).tobytes()
        payload.append(data + bytes(-len(data) % 8))
    text = json.dumps({**header, "arrays": described}, separators=(",", ":"), allow_nan=False).encode()
    body = b"".join([text, *payload])
    return _PREFIX.pack(MAGIC, VERSION, kind, 0, len(text), zlib.crc32(body)) + body


def unpack(kind: int, data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and arrays of one message; the arrays are read-only views.

    Raises
    ------
    WireError
        For bytes that are cut off, changed, of another kind or version, or that say more than they hold.
    """
    if len(data) < _PREFIX.size:
        raise WireError(f"a message of {len(data)} bytes is too short: it was cut off")
    magic, version, found, _, length, checksum = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise WireError("the bytes are not a message of this format")
    if version != VERSION or found != kind:
        raise WireError(f"a message of version {version}, kind {found} came where version {VERSION}, kind {kind} fits")
    body = memoryview(data)[_PREFIX.size :]
    if length > min(len(body), _MOST_HEADER):
        raise WireError("the header is longer than the message: it was cut off")
    if zlib.crc32(body) != checksum:
        raise WireError("the checksum does not match: the message was cut off or changed on its way")
    try:
        header = json.loads(bytes(body[:length]))
        described = header.pop("arrays")
        arrays, position = {}, length
        for name, code, shape in described:
            dtype = _DTYPES[code]
            if any(not isinstance(side, int) or side < 0 for side in shape):
                raise WireError(f"array {name!r} has shape {shape}")
            size = dtype.itemsize
            for side in shape:
                size *= side
            if position + size > len(body):
                raise WireError(f"array {name!r} says more than the message holds")
            arrays[str(name)] = np.frombuffer(body[position : position + size], dtype=dtype).reshape(shape)
            position += size + (-size % 8)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise error if isinstance(error, WireError) else WireError(f"the header is malformed ({error})") from None
    if position != len(body):
        raise WireError(f"{len(body) - position} bytes are left over after the last array")
    return header, arrays


def problem_arrays(problem: Ising) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return header and arrays that hold an Ising problem in its own layout, each coupling once; labels stay behind."""
    header: dict[str, Any] = {"n": problem.n, "layout": problem.layout, "offset": problem.offset}
    if problem.n_visible is not None:
        header["n_visible"] = problem.n_visible
    return header, {"h": problem.h, **problem.coupled.arrays()}


def problem_from(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Ising:
    """Return the Ising problem that a message holds; the inverse of `problem_arrays`.

    Raises
    ------
    WireError
        For header and arrays that are no problem.
    """
    try:
        n, layout, offset, h = header["n"], header["layout"], header["offset"], arrays["h"]
        if h.shape != (n,):
            raise WireError(f"h has shape {h.shape} for {n} spins")
        if layout == "bipartite":
            visible = header["n_visible"]
            return Ising.bipartite(h[:visible], h[visible:], arrays["block"], offset=offset)
        if layout == "dense":
            full = np.zeros((n, n))
            full[np.triu_indices(n, k=1)] = arrays["upper"]
            return Ising(h, full + full.T, offset=offset)
        if layout == "sparse":
            import scipy.sparse as sp

            i, j = arrays["i"], arrays["j"]
            if len(i) and not (0 <= i.min() and (i < j).all() and j.max() < n):
                raise WireError("couplings name spins out of range or out of order")
            return Ising(h, sp.csr_array(sp.coo_array((arrays["values"], (i, j)), shape=(n, n))), offset=offset)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise WireError(f"the problem is malformed ({error})") from None
    raise WireError(f"there is no layout {layout!r}")


def pack_spins(states: np.ndarray) -> np.ndarray:
    """Return `(reads, n)` spins as `(reads, ceil(n / 8))` uint8, one bit a spin."""
    return np.packbits(states > 0, axis=1)


def unpack_spins(packed: np.ndarray, n: int) -> np.ndarray:
    """Return the spins that `pack_spins` packed, `(reads, n)` int8.

    Raises
    ------
    WireError
        For bytes that do not hold `n` spins a row.
    """
    if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] != (n + 7) // 8:
        raise WireError(f"packed spins of shape {packed.shape} do not hold {n} spins")
    bits = np.unpackbits(packed, axis=1, count=n).astype(np.int8)
    return bits * np.int8(2) - np.int8(1)


def pack_draws(draws: Draws, header: Mapping[str, Any]) -> bytes:
    """Return an ANSWER that holds reads, weights, energies and `info`, and the fields of `header`."""
    arrays = {"spins": pack_spins(draws.states)}
    if draws.log_weights is not None:
        arrays["log_weights"] = np.asarray(draws.log_weights, dtype=np.float64)
    if draws.energies is not None:
        arrays["energies"] = np.asarray(draws.energies, dtype=np.float64)
    fields = {**header, "reads": len(draws), "n": draws.states.shape[1], "beta": draws.beta, "info": plain(draws.info)}
    return pack(ANSWER, fields, arrays)


def unpack_draws(data: bytes) -> tuple[Draws, dict[str, Any]]:
    """Return the reads of an ANSWER, and its header.

    Raises
    ------
    WireError
        For bytes that are not an undamaged ANSWER.
    """
    header, arrays = unpack(ANSWER, data)
    try:
        states = unpack_spins(arrays["spins"], int(header["n"]))
        info, beta = dict(header["info"]), float(header["beta"])
    except (KeyError, TypeError, ValueError) as error:
        raise error if isinstance(error, WireError) else WireError(f"the answer is malformed ({error})") from None
    # copies: the views hold on to the whole message, and are read-only
    rest = {name: arrays[name].copy() for name in ("log_weights", "energies") if name in arrays}
    return Draws(states, beta=beta, info=info, **rest), header
