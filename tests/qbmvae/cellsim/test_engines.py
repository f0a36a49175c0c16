from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbmvae.cellsim import Edge, GeneCircuit
from qbmvae.cellsim.engines import gf2


@st.composite
def circuits(draw, gates=("cx", "crx", "cry", "crz"), max_genes=6, feed_forward=False):
    n = draw(st.integers(2, max_genes))
    activations = draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))
    edges = []
    for _ in range(draw(st.integers(0, 12))):
        a, b = draw(st.permutations(range(n)))[:2]
        gate = draw(st.sampled_from(gates))
        sign = draw(st.sampled_from([1, -1]))
        strength = 1.0 if gate == "cx" else draw(st.floats(0, 2))
        edges.append(Edge(a, b, gate, strength, sign))
    if feed_forward:
        edges = [Edge(min(e.control, e.target), max(e.control, e.target), e.gate, e.strength, e.sign) for e in edges]
        edges.sort(key=lambda e: e.target)
    return GeneCircuit(activations, edges)


@settings(deadline=None, max_examples=60)
@given(circuits())
def test_components_equal_the_statevector(gc):
    assert np.abs(gc.probabilities("components") - gc.probabilities("statevector")).max() < 1e-12


@settings(deadline=None, max_examples=60)
@given(circuits(gates=("cx",)))
def test_gf2_network_and_components_equal_the_statevector_for_cx(gc):
    assert gc.engine == "gf2"
    exact = gc.probabilities("statevector")
    for engine in ("gf2", "bayesian-network", "components"):
        assert np.abs(gc.probabilities(engine) - exact).max() < 1e-12, engine
    by_gene = exact.reshape((2,) * gc.n_genes)
    assert np.allclose(gc.marginals(), [by_gene.take(1, axis=i).sum() for i in range(gc.n_genes)], atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(circuits(feed_forward=True))
def test_bayesian_network_equals_the_statevector_for_feed_forward_rotations(gc):
    assert gc.engine in ("gf2", "bayesian-network")
    assert np.abs(gc.probabilities("bayesian-network") - gc.probabilities("statevector")).max() < 1e-12


@settings(deadline=None, max_examples=40)
@given(circuits())
def test_auto_takes_an_exact_engine(gc):
    exact = gc.probabilities("statevector")
    assert np.abs(gc.probabilities() - exact).max() < 1e-12
    by_gene = exact.reshape((2,) * gc.n_genes)
    assert np.allclose(gc.marginals(), [by_gene.take(1, axis=i).sum() for i in range(gc.n_genes)], atol=1e-12)


def histogram(bits):
    n = bits.shape[1]
    outcomes = (bits.astype(np.int64) << np.arange(n - 1, -1, -1)).sum(axis=1)
    return np.bincount(outcomes, minlength=2**n)


def chi_square_is_plausible(counts, p):
    """Pearson's statistic within 5 standard deviations of its mean, over outcomes that can occur."""
    assert counts[p < 1e-14].sum() == 0
    expected = counts.sum() * p
    common = expected > 5
    rest_seen, rest_expected = counts[~common].sum(), expected[~common].sum()
    terms = (counts[common] - expected[common]) ** 2 / expected[common]
    statistic, dof = terms.sum(), common.sum() - 1
    if rest_expected > 5:
        statistic, dof = statistic + (rest_seen - rest_expected) ** 2 / rest_expected, dof + 1
    return statistic < dof + 5 * np.sqrt(2 * max(dof, 1)) + 5


MIXED = GeneCircuit(
    [0.3, 0.6, 0.5, 0.2, 0.8],
    [(0, 1, "cry", 0.4), (1, 2, "crx", 0.7), (2, 0, "cry", 0.3, "-"), (3, 4), (4, 1, "cx", 1, "-"), (0, 3, "crz", 0.9)],
)
CX = GeneCircuit([0.3, 0.6, 0.5, 0.2], [(0, 1), (1, 2), (2, 0), (3, 1), (0, 3, "cx", 1, -1)])
FEED = GeneCircuit([0.3, 0.6, 0.5, 0.2], [(0, 1, "cry", 0.6), (1, 2, "crx", 0.4), (0, 2, "crz", 0.5), (2, 3), (1, 3)])


CASES = [(CX, "gf2"), (CX, "bayesian-network"), (CX, "components"), (FEED, "bayesian-network"), (FEED, "components")]
CASES += [(MIXED, "components"), (MIXED, "statevector")]


@pytest.mark.parametrize(("gc", "engine"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_samples_follow_the_probabilities(gc, engine):
    bits = gc.sample(200_000, seed=3, engine=engine)
    assert bits.shape == (200_000, gc.n_genes) and bits.dtype == np.uint8
    assert chi_square_is_plausible(histogram(bits), gc.probabilities("statevector"))
    assert np.array_equal(gc.sample(500, seed=9, engine=engine), gc.sample(500, seed=9, engine=engine))


def xoshiro256_plus_plus(state):
    mask = 2**64 - 1
    while True:
        word = (state[0] + state[3]) & mask
        yield (((word << 23) | (word >> 41)) + state[0]) & mask
        t = (state[1] << 17) & mask
        state[2] ^= state[0]
        state[3] ^= state[1]
        state[1] ^= state[2]
        state[0] ^= state[3]
        state[2] ^= t
        state[3] = ((state[3] << 45) | (state[3] >> 19)) & mask


def test_the_kernel_compares_xoshiro256_plus_plus_with_p_bit_by_bit():
    words = xoshiro256_plus_plus([1, 2, 3, 4])
    assert [next(words) for _ in range(3)] == [41943041, 58720359, 3588806011781223]  # Blackman and Vigna
    p = int(0.3 * 2**64)
    out = np.empty((1, 2), np.uint64)
    state = np.array([[1, 11], [2, 12], [3, 13], [4, 14]], np.uint64)
    gf2._draw(np.array([p], np.uint64), np.empty((0, 3), np.int32), state, out)
    for stream, seed in enumerate(([1, 2, 3, 4], [11, 12, 13, 14])):
        words = xoshiro256_plus_plus(seed)
        planes = [next(words) for _ in range(64)]
        uniform = [sum(((plane >> j) & 1) << (63 - k) for k, plane in enumerate(planes)) for j in range(64)]
        assert [(int(out[0, stream]) >> j) & 1 for j in range(64)] == [int(u < p) for u in uniform]


def test_packed_bits_are_the_sampled_bits():
    gc = GeneCircuit(np.linspace(0, 1, 9), [(0, 1), (8, 3), (3, 5)])
    packed = gc.sample_packed(1000, seed=4)
    assert packed.shape == (9, 16)
    assert np.array_equal(gf2.unpack(packed, 1000), gc.sample(1000, seed=4))
    assert not gc.sample(1000, seed=4)[:, 0].any()
    assert np.concatenate(list(gc.blocks(1000, seed=4, size=300))).shape == (1000, 9)


def test_order_matters_in_the_papers_case():
    activations = [0.2, 0.1, 0.4, 0.9, 0.8, 0.2, 0.3, 0.2, 0.7, 0.5]
    in_order = GeneCircuit(activations, [(3, 5), (5, 7), (7, 0)])
    other = GeneCircuit(activations, [(5, 7), (3, 5), (7, 0)])
    assert in_order.marginals()[7] == pytest.approx(0.811, abs=5e-4)
    assert other.marginals()[7] == pytest.approx(0.17, abs=5e-3)
    assert GeneCircuit([0.9]).probabilities()[1] == pytest.approx(0.976, abs=5e-4)


def test_many_genes_with_a_short_cycle_need_a_small_state_only():
    n = 300
    edges = [(i, i + 1, "cry", 0.3) for i in range(n - 1)] + [(9, 5, "cry", 0.2)]
    gc = GeneCircuit(np.full(n, 0.4), edges)
    assert gc.engine == "components"
    assert gc.sample(200, seed=0).shape == (200, n)
