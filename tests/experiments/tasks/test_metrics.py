from __future__ import annotations

import numpy as np
import pytest

from experiments.data.synthetic import synthetic
from experiments.evaluation import embedding
from experiments.evaluation import reference as references
from experiments.tasks import integration
from experiments.tasks.metrics import HEADLINES, METRICS, SHORT, find, in_group


@pytest.fixture(scope="module")
def scores():
    cells = synthetic(n_cells=240, n_genes=60, seed=0)
    found = references.reference(cells, references.Annotation("batch", "cell_type", None, ("time",), None, "lineage"))
    return embedding.score(found.pca, found, classifiers=("logistic", "knn"))


def test_every_number_of_every_task_is_listed(scores):
    from experiments.comparison.results import flatten

    nested = ("per_class", "rare_types", "close_pairs", "held_out_batches", "knn", "logistic", "batches")
    for task, values in scores.items():
        for name, _ in flatten({k: v for k, v in values.items() if k not in nested}):
            assert find(task, name) is not None, (task, name)


def test_the_list_holds_nothing_that_no_task_computes(scores):
    for (task, name), metric in METRICS.items():
        if task in scores and ": " not in name:
            assert name in scores[task], (task, name)
        assert metric.explain and metric.label


def test_groups_make_the_means():
    bio, batch = in_group("bio"), in_group("batch")
    assert (len(bio), len(batch)) == (5, 5)
    values = dict.fromkeys((*bio, *batch), 0.5)
    means = integration.aggregate(values)
    assert means["Total"] == pytest.approx(0.5) and set(means) <= set(in_group("total"))
    assert {m.task for m in SHORT} <= {m.task for m in HEADLINES}
    assert np.isfinite(means["Bio conservation"])
