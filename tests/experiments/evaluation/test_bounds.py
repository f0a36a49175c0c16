from __future__ import annotations

import numpy as np
import pytest

from experiments.data.synthetic import synthetic
from experiments.evaluation import reference as references
from experiments.evaluation.bounds import ROWS, integration_bounds
from experiments.tasks.integration import integration


@pytest.fixture(scope="module")
def found():
    cells = synthetic(300, 60, seed=0)
    reference = references.reference(cells, references.Annotation("batch", "cell_type"), tasks=("integration",))
    return reference, integration_bounds(reference.pca, reference.batch, reference.label, cells.X)


def test_scores_lie_between_their_bounds(found):
    reference, bounds = found
    assert set(bounds) == set(ROWS)
    own = integration(reference.pca, reference.batch, reference.label, reference.pca)
    for name in ("KMeans ARI (10 starts)", "Silhouette label", "Closest types", "Bio conservation"):
        assert bounds["labels shuffled"][name] < bounds["one batch alone"][name], name
    # these cells have strong batch effects: perfect mixing is far above what they show
    for name in ("iLISI", "CiLISI", "BRAS", "KBET", "PCR comparison", "Batch correction"):
        assert own[name] < bounds["batches shuffled"][name], name
    assert abs(bounds["labels shuffled"]["KMeans ARI (10 starts)"]) < 0.1
    assert bounds["labels shuffled"]["Closest types"] == pytest.approx(0.5, abs=0.15)
    assert 0 < bounds["one batch alone"]["Within-type conservation"] < 1
    assert not any(name.startswith("Total") for row in bounds.values() for name in row)


def test_one_batch_bounds_types_alone(found):
    reference, _ = found
    rows = np.flatnonzero(reference.batch == reference.batch[0])
    counts = np.random.default_rng(0).poisson(2.0, size=(len(rows), 20))
    bounds = integration_bounds(reference.pca[rows], None, reference.label[rows], counts)
    assert set(bounds) == {"labels shuffled", "one batch alone"}
