from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.simulation.table3 import APART, PUBLISHED, TOGETHER, run, show, variants
from qbmvae.cellsim import simulate

CONFIGS = Path(__file__).parents[3] / "experiments" / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("simulate*.yaml")), ids=lambda p: p.stem)
def test_the_example_configurations_run(path):
    data = simulate(path, n_cells=40, seed=0)
    assert data.n_obs >= 40 and len(data.uns["truth"]["edges"])


def test_matched_marginals_have_no_gates_and_the_same_chance_to_be_on():
    found = variants()
    linked = simulate(found["published housekeeping"], n_cells=10, seed=0).uns["truth"]
    matched = simulate(found["no entanglement, published housekeeping"], n_cells=10, seed=0).uns["truth"]
    assert np.allclose(linked["marginals"], matched["marginals"], atol=1e-12)
    assert len(matched["edges"]) == 0 and len(linked["edges"]) == 4
    equal = simulate(found["equal housekeeping"], n_cells=10, seed=0).uns["truth"]["conditions"]
    assert equal.loc[APART].iloc[1:].tolist() == equal.loc[TOGETHER].iloc[1:].tolist() == [80, 6]


def test_table_3_and_its_printout():
    result = run(n_cells=400, seeds=2)
    published = np.array(result["variants"]["published housekeeping"]["mean"])
    assert np.abs(published / PUBLISHED - 1)[[0, 2, 3], :].max() < 0.6
    assert len(show(result).splitlines()) == 1 + 4 * 5
