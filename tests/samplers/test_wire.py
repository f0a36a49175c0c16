from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplers import Draws, Ising, wire


def problems(seed: int, n: int, layout: str) -> Ising:
    rng = np.random.default_rng(seed)
    h, couplings = rng.normal(size=n), np.triu(rng.normal(size=(n, n)), 1)
    if layout == "dense":
        return Ising(h, couplings, offset=rng.normal())
    if layout == "sparse":
        return Ising(h, {(i, j): couplings[i, j] for i in range(n) for j in range(i + 1, n) if (i + j) % 3 == 0})
    return Ising.bipartite(h[: n // 2], h[n // 2 :], couplings[: n // 2, n // 2 :], offset=1.5)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(0, 20), st.sampled_from(["dense", "sparse", "bipartite"]))
def test_a_problem_comes_back_with_its_hash_and_layout(seed, n, layout):
    problem = problems(seed, n, layout)
    header, arrays = wire.unpack(wire.REQUEST, wire.pack(wire.REQUEST, *wire.problem_arrays(problem)))
    again = wire.problem_from(header, arrays)
    assert again.content_hash == problem.content_hash and again.layout == problem.layout


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 20), st.booleans())
def test_draws_come_back_equal(seed, n, reads, weighted):
    rng = np.random.default_rng(seed)
    states = rng.choice(np.array([-1, 1], dtype=np.int8), (reads, n))
    weights = rng.normal(size=reads) if weighted else None
    info = {"timing": {"total": np.float64(0.5)}, "list": np.arange(3), "nan": float("nan"), "none": None}
    data = wire.pack_draws(Draws(states, weights, rng.normal(size=reads), 0.7, info), {"nonce": "x"})
    draws, header = wire.unpack_draws(data)
    assert (draws.states == states).all() and draws.states.dtype == np.int8 and draws.beta == 0.7
    assert (draws.log_weights is None) == (weights is None) and (
        weights is None or (draws.log_weights == weights).all()
    )
    assert draws.info == {"timing": {"total": 0.5}, "list": [0, 1, 2], "nan": None, "none": None}
    assert header["nonce"] == "x"


def test_spins_take_one_bit_each():
    assert wire.pack_spins(np.ones((100, 64), np.int8)).nbytes == 800


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_no_harm_goes_unnoticed(data):
    message = bytearray(wire.pack(wire.REQUEST, *wire.problem_arrays(problems(1, 6, "dense"))))
    kind = data.draw(st.sampled_from(["cut", "flip", "append"]))
    if kind == "cut":
        message = message[: data.draw(st.integers(0, len(message) - 1))]
    elif kind == "flip":
        # the two reserved bytes carry nothing
        place = data.draw(st.integers(0, len(message) - 1).filter(lambda i: i not in (6, 7)))
        message[place] ^= data.draw(st.integers(1, 255))
    else:
        message += b"\0"
    with pytest.raises(wire.WireError):
        wire.unpack(wire.REQUEST, bytes(message))


def forged(header: object, payload: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    body = text + payload
    return struct.pack("<4sBBHII", b"QBMS", 1, wire.REQUEST, 0, len(text), zlib.crc32(body)) + body


@pytest.mark.parametrize(
    "header",
    [
        [],
        {},
        {"arrays": 3},
        {"arrays": [["h", "O", [1]]]},
        {"arrays": [["h", "f8", [-1]]]},
        {"arrays": [["h", "f8", [2**62, 2**62]]]},
        {"arrays": [["h", "f8", ["1"]]]},
        {"arrays": [["h", "f8"]]},
    ],
)
def test_a_forged_header_is_refused_and_takes_no_memory(header):
    with pytest.raises(wire.WireError):
        wire.unpack(wire.REQUEST, forged(header, bytes(8)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"n": 7}, "7 spins"),
        ({"layout": "cubic"}, "cubic"),
        ({"layout": "sparse"}, "malformed"),
        ({"offset": "x"}, "malformed"),
        ({"layout": "bipartite", "n_visible": 2}, "malformed"),
    ],
)
def test_a_problem_that_makes_no_sense_is_refused(change, named):
    header, arrays = wire.problem_arrays(problems(1, 6, "dense"))
    with pytest.raises(wire.WireError, match=named):
        wire.problem_from({**header, **change}, arrays)


def test_couplings_out_of_range_are_refused():
    header, arrays = wire.problem_arrays(problems(1, 6, "sparse"))
    with pytest.raises(wire.WireError, match="out of range"):
        wire.problem_from(header, {**arrays, "j": arrays["j"] + np.int32(9)})
