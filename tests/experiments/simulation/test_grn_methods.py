from __future__ import annotations

import numpy as np
import pytest

from experiments.simulation.grn_methods import METHODS, binarise
from qbmvae.cellsim import GeneCircuit


def test_binarise_splits_two_groups():
    rng = np.random.default_rng(0)
    on = rng.random((1000, 2)) < 0.3
    values = np.where(on, rng.normal(5, 0.5, (1000, 2)), rng.normal(0, 0.5, (1000, 2)))
    assert np.array_equal(binarise(values), on)
    assert not binarise(np.ones((10, 1))).any()


@pytest.mark.parametrize("name", METHODS)
def test_methods_find_the_edge_of_a_small_circuit(name):
    gc = GeneCircuit([0.5, 0.3, 0.4], [(0, 1, "cry", 0.5)])
    bits = gc.sample(1500, seed=0)
    expression = np.log1p(np.random.default_rng(0).poisson(9 * bits)).astype(float)
    scores = METHODS[name](expression, 0)
    assert scores.shape == (3, 3)
    both = np.maximum(scores, scores.T)
    assert both[0, 1] > max(both[0, 2], both[1, 2])
