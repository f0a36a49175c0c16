"""The random numbers: known answers, and the exponential that turns them into decisions."""

from __future__ import annotations

import numba
import numpy as np

from samplers.kernels.rng import FAST, LANES, exp_negative, fill_bits, new_streams, uniform
from samplers.kernels.update import gibbs, metropolis, new_work

#: xoshiro128++ from the state 1, 2, 3, 4 (the reference implementation's first outputs)
KNOWN = [641, 1573767, 3222811527, 3517856514]


def _known_stream():
    return np.repeat(np.arange(1, 5, dtype=np.uint32), LANES)


def _reference(state, steps):
    mask = 0xFFFFFFFF

    def rotl(x, k):
        return ((x << k) | (x >> (32 - k))) & mask

    s, out = [int(x) for x in state], []
    for _ in range(steps):
        out.append((rotl((s[0] + s[3]) & mask, 7) + s[0]) & mask)
        t = (s[1] << 9) & mask
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 11)
    return out, s


def test_known_answers_in_every_lane():
    stream, out = _known_stream(), np.empty(LANES, dtype=np.uint32)
    for answer in KNOWN:
        fill_bits(stream, out)
        assert (out == answer).all()


def test_every_lane_is_its_own_stream():
    stream = new_streams(np.random.default_rng(0), 1)[0]
    starts = stream.reshape(4, LANES).T.copy()
    out = np.array([_step(stream) for _ in range(50)])
    for lane in (0, 17, 63):
        assert out[:, lane].tolist() == _reference(starts[lane], 50)[0]


def _step(stream):
    out = np.empty(LANES, dtype=np.uint32)
    fill_bits(stream, out)
    return out


def test_updates_advance_the_streams_as_the_reference_does():
    # the updates carry the generator inline: after n of them the state must be the reference's after n steps
    for update in (gibbs, metropolis):
        stream, spins = _known_stream(), np.ones((1, LANES), dtype=np.float32)
        work = new_work(np.ones(LANES, dtype=np.float32))
        for _ in range(7):
            update(stream, work, spins, 0)
        assert stream.reshape(4, LANES)[:, 5].tolist() == _reference([1, 2, 3, 4], 7)[1]


def test_gibbs_decides_by_the_known_bits():
    # at zero field the spin is +1 exactly when the uniform number is at most one half
    stream, spins = _known_stream(), np.zeros((1, LANES), dtype=np.float32)
    work = new_work(np.ones(LANES, dtype=np.float32))
    for answer in KNOWN:
        gibbs(stream, work, spins, 0)
        assert (spins == (1 if answer <= 2**31 else -1)).all()


@numba.njit(fastmath=FAST)
def _exponentials(x, out):
    for i in range(len(x)):
        out[i] = exp_negative(x[i])


@numba.njit(fastmath=FAST)
def _uniforms(bits, out):
    for i in range(len(bits)):
        out[i] = uniform(bits[i])


def test_exponential():
    x = np.linspace(-79, 79, 200_001).astype(np.float32)
    out = np.empty_like(x)
    _exponentials(x, out)
    error = np.abs(out / np.exp(-x.astype(np.float64)) - 1)
    assert (error <= 1e-7 * (2 + np.abs(x))).all()
    extreme = np.array([-1e30, 1e30], dtype=np.float32)
    _exponentials(extreme, extreme)
    assert np.isfinite(extreme).all() and extreme[0] > 1e34 and 0 < extreme[1] < 1e-34


def test_uniform_is_never_zero():
    bits = np.array([0, 1, 2**31, 2**32 - 1], dtype=np.uint32)
    out = np.empty(4, dtype=np.float32)
    _uniforms(bits, out)
    assert out[0] > 0 and out[-1] <= 1 and abs(out[2] - 0.5) < 1e-6
