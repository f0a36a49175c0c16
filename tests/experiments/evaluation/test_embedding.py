from __future__ import annotations

import numpy as np
import pytest

from experiments.data.datasets import unintegrated_pca
from experiments.data.synthetic import synthetic
from experiments.evaluation import embedding
from experiments.evaluation import reference as references
from experiments.evaluation.held_out import classify, held_out_type
from experiments.evaluation.reference import Annotation
from experiments.tasks.trajectory import conservation
from samplers.errors import InputError


@pytest.fixture(scope="module")
def cells():
    return synthetic(300, 400, n_types=1, batch_effect=0.1, depth=6000, seed=0)


def test_real_time_beats_noise(cells):
    tasks = ("trajectory", "clustering")
    found = references.reference(
        cells, Annotation("batch", "cell_type", time_keys=("time",), branch_key="lineage"), tasks
    )
    good = embedding.score(unintegrated_pca(cells), found, tasks)
    noise = embedding.score(np.random.default_rng(0).normal(size=(300, 5)), found, tasks)
    assert good["trajectory"]["score"] > 0.75 > noise["trajectory"]["score"]
    assert good["trajectory"]["regression_within"] > 0.6 > noise["trajectory"]["regression_within"]
    assert good["trajectory"]["ground_truth"] and "'time'" in good["trajectory"]["reference"]
    assert good["clustering"]["ARI"] > 0.3 > noise["clustering"]["ARI"]
    assert set(good) == set(tasks)


def test_a_wider_graph_shows_where_the_narrow_one_is_torn():
    time = np.repeat(np.arange(12.0), 16)
    noise = 0.05 * np.random.default_rng(0).normal(size=(192, 3))
    x = (np.column_stack([time, time * 0, time * 0]) + noise).astype(np.float32)
    found = references.Reference(None, None, x, times=[time], roots=[[0]], targets=time[:, None])
    # groups of 16 cells: the nearest 15 never leave one, the nearest 30 do
    scores = embedding.trajectory_scores(x, found)
    assert scores["unreachable"] > 0.9 and scores["score_wide"] > scores["score"] + 0.2
    assert scores["score_wide"] == conservation(x, time, [0], n_neighbors=30)["score"]


def test_a_trajectory_without_time_says_what_it_is(cells):
    rooted = references.reference(cells, Annotation("batch"), ("trajectory",))
    assert cells.obs_names[cells.uns["iroot"]] in rooted.time_source
    bare = cells.copy()
    del bare.uns["iroot"]
    found = references.reference(bare, tasks=("trajectory",))
    scores = embedding.score(unintegrated_pca(bare), found, ("trajectory",))["trajectory"]
    assert "diagnostic" in scores["reference"] and not scores["ground_truth"]
    assert embedding.ceilings(bare, found) == {}


def test_mixture_shares_are_paths(cells):
    mixed = cells[cells.obs["time"].notna()].copy()
    mixed.obs["a"], mixed.obs["b"] = mixed.obs["time"], 1 - mixed.obs["time"]
    found = references.reference(mixed, Annotation(time_keys=("a", "b")), ("trajectory",))
    assert mixed.obs["a"].iloc[found.roots[0][0]] == mixed.obs["a"].max()
    scores = embedding.score(unintegrated_pca(mixed), found, ("trajectory",))["trajectory"]
    assert scores["score"] > 0.6 and scores["regression_within"] > 0.5


def test_bad_keys_are_named(cells):
    with pytest.raises(InputError, match="nearest: 'cell_type'"):
        references.usable_cells(cells, ["celltype"], 100)
    with pytest.raises(InputError, match="'lineage'.* is no time"):
        references.reference(cells, Annotation(time_keys=("lineage",)))
    with pytest.raises(InputError, match="root cell 'nobody'"):
        references.reference(cells, Annotation(root="nobody"))
    partial = cells.copy()
    partial.obs["cell_type"] = partial.obs["cell_type"].where(np.arange(cells.n_obs) % 2 == 0)
    some = references.usable_cells(partial, ["cell_type", "batch"], 50)
    assert (some % 2 == 0).all() and 40 < len(some) < 65


class _Encoder:
    """A stand-in model: embeds by fixed columns, or remembers what it sees."""

    inductive, generate, bounds, novelty = True, None, None, None

    def __init__(self, leaky=False):
        self.leaky, self.state = leaky, 0

    def embed(self, adata):
        if self.leaky and adata is not None:
            self.state += adata.n_obs
        return np.log1p(adata.X.toarray())

    def fingerprint(self):
        return str(self.state)


def test_shuffled_labels_score_at_chance_and_leaks_are_caught(cells):
    from experiments.methods.base import Task

    rows = np.random.default_rng(0).permutation(300)
    task = Task(cells, "batch", "cell_type")
    real = classify(_Encoder(), task, rows[:240], rows[240:], [("fate A", "fate B")])
    assert real["f1"] > 0.5 and "fate A / fate B" in real["close_pairs"]
    shuffled = cells.copy()
    shuffled.obs["cell_type"] = np.random.default_rng(1).permutation(cells.obs["cell_type"].astype(str))
    control = classify(_Encoder(), Task(shuffled, "batch", "cell_type"), rows[:240], rows[240:])
    # four types, 60 test cells: chance plus three standard errors
    assert control["balanced_accuracy"] < 0.25 + 3 * np.sqrt(0.25 * 0.75 / 60)
    with pytest.raises(InputError, match="leaked"):
        classify(_Encoder(leaky=True), task, rows[:240], rows[240:])


def test_held_out_cells_do_not_change_what_is_fitted(cells):
    """Other counts in the test cells leave the encoder that was fitted on the rest as it was."""
    from experiments.comparison.config import ModelSpec
    from experiments.evaluation.held_out import _fit_on
    from experiments.methods.base import Task

    changed = cells.copy()
    x = changed.X.toarray()
    x[200:] = np.random.default_rng(0).poisson(5, size=x[200:].shape)
    changed.X = type(cells.X)(x.astype(np.float32))
    model = ModelSpec("scvi", "scvi", {})
    prints = {
        _fit_on(model, Task(a, "batch", max_epochs=1, n_hidden=8), np.arange(200)).fingerprint()
        for a in (cells, changed)
    }
    assert len(prints) == 1
    seen = _fit_on(model, Task(changed, "batch", max_epochs=1, n_hidden=8), np.arange(210)).fingerprint()
    assert seen not in prints


def test_a_held_out_type_is_novel(cells):
    from experiments.comparison.config import ModelSpec
    from experiments.methods.base import Task

    scores = held_out_type(ModelSpec("pca", "pca", {}), Task(cells, "batch", "cell_type"), "type 1")
    assert scores["auroc"] > 0.7
    with pytest.raises(InputError, match="'type 9'"):
        held_out_type(ModelSpec("pca", "pca", {}), Task(cells, "batch", "cell_type"), "type 9")


def test_a_gene_that_the_held_out_cells_alone_express_stops_no_model(cells):
    from experiments.comparison.config import DataSpec, ModelSpec
    from experiments.evaluation.held_out import held_out_scores
    from experiments.methods.base import Task

    counts = cells.X.toarray() if hasattr(cells.X, "toarray") else np.array(cells.X)
    only_one_type = cells.copy()
    counts[(cells.obs.cell_type != "type 1").to_numpy(), 0] = 0
    counts[(cells.obs.cell_type == "type 1").to_numpy(), 0] = 3
    only_one_type.X = counts
    task = Task(only_one_type, "batch", "cell_type", max_epochs=1, n_hidden=8, n_layers=1)
    data = DataSpec("cells", "cells.h5ad", novel_type="type 1")
    scores = held_out_scores(ModelSpec("qbmvae", "qbmvae"), task, ("novelty",), data.pairs, data.novel_type)
    assert 0 <= scores["novelty"]["auroc"] <= 1
