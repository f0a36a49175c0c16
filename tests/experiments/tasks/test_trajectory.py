from __future__ import annotations

import numpy as np
import pytest

from experiments.tasks.arrays import nearest_neighbors
from experiments.tasks.trajectory import (
    conservation,
    diffusion_pseudotime,
    pick_roots,
    reference_pseudotime,
    spearman,
    time_regression,
)
from samplers.errors import InputError


@pytest.fixture(scope="module")
def line():
    generator = np.random.default_rng(0)
    time = generator.uniform(size=300)
    x = np.column_stack([10 * time, np.sin(3 * time), 0.1 * generator.normal(size=300)])
    return x.astype(np.float32), time


def test_a_line_is_ordered(line):
    x, time = line
    root = int(np.argmin(time))
    scores = conservation(x, time, [root])
    assert scores["score"] > 0.98 and scores["unreachable"] == 0.0
    assert scores["spearman"] == scores["spearman_reachable"]
    shuffled = conservation(x, np.random.default_rng(1).permutation(time), [root])
    assert abs(shuffled["score"] - 0.5) < 0.1


def test_pseudotime_equals_scanpy(line):
    import anndata as ad
    import scanpy as sc

    x, time = line
    root = int(np.argmin(time))
    data = ad.AnnData(x)
    data.obsm["X"] = x
    sc.pp.neighbors(data, n_neighbors=15, use_rep="X")
    data.uns["iroot"] = root
    sc.tl.diffmap(data)
    sc.tl.dpt(data)
    assert spearman(data.obs["dpt_pseudotime"], diffusion_pseudotime(x, root)) > 0.999
    graph = nearest_neighbors(x, 15).knn_graph_connectivities
    np.testing.assert_allclose(graph.toarray(), data.obsp["connectivities"].toarray(), atol=1e-4)


def test_a_torn_graph_is_reported_not_hidden(line):
    x, time = line
    torn = x.copy()
    torn[time > 0.5, 1] += 1000
    scores = conservation(torn, time, [int(np.argmin(time))], branch=np.where(time > 0.5, "late", "early"))
    assert scores["unreachable"] == pytest.approx(np.mean(time > 0.5), abs=1e-6)
    assert scores["spearman_reachable"] > 0.95 > scores["spearman"]
    assert scores["spearman_branches"] > 0.95


def test_batches_get_their_own_reference(line):
    x, time = line
    batch = np.arange(300) % 2
    moved = x.copy()
    moved[batch == 1, 2] += 500
    root = int(np.argmin(time))
    reference = reference_pseudotime(moved, batch, root)
    for b in (0, 1):
        assert spearman(reference[batch == b], time[batch == b]) > 0.97
    assert conservation(x, reference, [root], batch)["score"] > 0.97
    assert np.isnan(reference_pseudotime(x, np.arange(300), root)).all()


def test_time_regression_within_and_across(line):
    x, time = line
    batch = np.arange(300) % 2
    scores = time_regression(x, time, batch)
    assert scores["within"] > 0.98 and scores["across"] > 0.98
    two = time_regression(x, np.column_stack([time, 1 - time]), batch)
    assert two["across"] == pytest.approx(scores["across"])
    assert time_regression(np.zeros_like(x), time)["within"] < 0.1
    assert np.isnan(time_regression(x, time)["across"])
    assert np.isnan(time_regression(x, np.ones(300))["within"])


def test_degenerate_inputs(line):
    x, time = line
    constant = conservation(np.zeros_like(x), time, [0])
    assert 0.0 <= constant["unreachable"] <= 1.0
    assert np.isnan(conservation(x, np.ones(300), [0])["score"])
    assert np.isfinite(diffusion_pseudotime(x[:3], 0)).any()
    with pytest.raises(InputError, match="out of range"):
        diffusion_pseudotime(x, 300)
    with pytest.raises(InputError, match="three cells"):
        conservation(x, np.full(300, np.nan), [0])
    assert np.isnan(spearman([1, 2, 3], [1, 1, 1]))


def test_roots_are_the_earliest_of_each_batch():
    assert pick_roots([0.3, np.nan, 0.1, 0.2], 2) == [2, 3]
    assert pick_roots([0.3, np.nan, 0.1, 0.2], 2, ["a", "a", "b", "b"]) == [2, 0]
