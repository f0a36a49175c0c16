"""The likelihood that counts ask for: molecules against reads, whatever the composition and the depth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from qbmvae.data import counts as counts_module
from qbmvae.data.likelihood import choose, zero_excess
from qbmvae.data.stores import DatasetRows


def simulated(n=300, genes=200, seed=0, dropped=0.0, scale=1.0):
    """Return negative binomial counts of three types at spread depths, a share of the values dropped to zero."""
    rng = np.random.default_rng(seed)
    profiles = rng.gamma(0.5, 2.0, (3, genes)) * scale
    mean = profiles[rng.integers(0, 3, n)] * rng.lognormal(0, 0.5, (n, 1))
    x = rng.poisson(rng.gamma(2.0, mean / 2.0))
    x[rng.random(x.shape) < dropped] = 0
    return sp.csr_matrix(x.astype(np.float32))


def checked(x):
    names = [pd.Index([f"{letter}{i}" for i in range(size)]) for letter, size in zip("cg", x.shape, strict=True)]
    options = {"counts": True, "name": "X", "obs_names": names[0], "var_names": names[1]}
    return counts_module.load(x, np.arange(x.shape[1]), **options)


def test_molecules_are_negative_binomial_whatever_the_composition():
    for seed in range(3):
        assert choose(checked(simulated(seed=seed)), np.zeros(300))[0] == "nb"


def test_reads_are_zero_inflated():
    kind, reason = choose(checked(simulated(dropped=0.4, scale=30.0)), np.zeros(300))
    assert kind == "zinb"
    assert "excess of zeros" in reason


def test_one_batch_of_reads_decides():
    x = sp.vstack([simulated(200), simulated(100, seed=1, dropped=0.4, scale=30.0)]).tocsr()
    batch = np.repeat([0, 1], [200, 100])
    assert choose(checked(x), batch)[0] == "zinb"
    # a batch of a few cells says nothing
    few = np.repeat([0, 1, 2], [200, 15, 85])
    assert choose(checked(x[:215]), few[:215])[0] == "nb"


def test_few_cells_and_silent_genes():
    assert choose(checked(simulated(10)), np.zeros(10))[0] == "nb"
    assert np.isnan(zero_excess(sp.csr_matrix((30, 5)), np.random.default_rng(0)))


def test_the_expected_zeros_are_those_of_the_fitted_negative_binomial():
    # one type, one depth: observed zeros are the negative binomial's own
    rng = np.random.default_rng(0)
    x = sp.csr_matrix(rng.poisson(rng.gamma(1.5, 2.0, (3000, 20))).astype(np.float32))
    assert abs(zero_excess(x, rng)) < 0.01


@pytest.mark.parametrize("n", [500, 2600])
def test_counts_on_disk_give_the_same_answer(n):
    x = simulated(n, dropped=0.4, scale=30.0)
    in_memory = checked(x)
    on_disk = counts_module.Counts(None, DatasetRows(x), in_memory.library, in_memory.totals, in_memory.checksum)
    assert choose(on_disk, np.zeros(n))[0] == choose(in_memory, np.zeros(n))[0] == "zinb"
    if n == 500:
        assert choose(on_disk, np.zeros(n)) == choose(in_memory, np.zeros(n))
