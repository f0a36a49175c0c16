from __future__ import annotations

import numpy as np
import pytest

from experiments.tasks.arrays import nearest_neighbors
from experiments.tasks.trajectory import (
    conservation,
    diffusion_pseudotime,
    neighbour_graph,
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


@pytest.mark.parametrize("case", ["whole", "torn", "root outside the largest component", "by batch"])
def test_conservation_equals_scib(line, monkeypatch, case):
    import anndata as ad
    import pandas as pd
    import scanpy as sc
    import scib.metrics.trajectory as oracle

    x, time = line
    x, time = x.copy(), time.copy()
    time[:5] = np.nan
    if case == "torn":
        x[time > 0.7, 1] += 1000
    if case == "root outside the largest component":
        x[time < 0.2, 1] += 1000
    batch = np.arange(len(x)) % 2 if case == "by batch" else None
    root = int(np.nanargmin(time))
    names = [str(i) for i in range(len(x))]
    before = ad.AnnData(x, obs=pd.DataFrame({"time": time, "batch": np.arange(len(x)) % 2}, index=names))
    after = before[np.isfinite(time)].copy()
    sc.pp.neighbors(after, n_neighbors=15, use_rep="X")
    # scIB looks for a root by a vote of diffusion components: both get the same one, in the same component
    component = neighbour_graph(after.X)[1]
    inside = np.flatnonzero(component == np.bincount(component).argmax())

    def get_root(pre, post, *_):
        part = post[inside].copy()
        sc.tl.diffmap(part)
        return int(pre.obs["time"].iloc[inside].argmin()), part

    monkeypatch.setattr(oracle, "get_root", get_root)
    # scIB puts unreached cells at 0 by a fill in place of a column, which pandas 3 ignores: it is done where it is read
    correlate = pd.Series.corr
    monkeypatch.setattr(pd.Series, "corr", lambda a, b, method: correlate(a, b.fillna(0), method))
    with pd.option_context("mode.chained_assignment", None):
        theirs = oracle.trajectory_conservation(
            before, after, "label", pseudotime_key="time", batch_key=None if batch is None else "batch"
        )
    ours = conservation(x, time, [root], batch)
    assert ours["score"] == pytest.approx(theirs, abs=2e-3)
    if case != "whole" and batch is None:
        assert ours["unreachable"] == pytest.approx(1 - len(inside) / len(after)) and ours["unreachable"] > 0.1


def test_a_torn_graph_is_reported_not_hidden(line):
    x, time = line
    torn = x.copy()
    torn[time > 0.65, 1] += 1000
    scores = conservation(torn, time, [int(np.argmin(time))], branch=np.where(time > 0.65, "late", "early"))
    assert scores["unreachable"] == pytest.approx(np.mean(time > 0.65), abs=1e-6)
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
