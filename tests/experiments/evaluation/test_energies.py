from __future__ import annotations

import numpy as np

from experiments.data.synthetic import synthetic
from experiments.evaluation import energies


def test_energies_are_compared_with_time_and_on_a_hidden_type(tmp_path):
    adata = synthetic(n_cells=160, n_genes=60, n_types=2, seed=0)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    path = str(tmp_path / "cells.h5ad")
    found = energies.along_time(path, "time", "batch", 0, epochs=2)
    assert set(found) == {"prior", "free", "bound", "expressed genes"}
    assert all(-1 <= value <= 1 for value in found.values())
    novel = adata.obs["cell_type"].value_counts().index[0]
    scores = energies.unseen_type(path, str(novel), "batch", "cell_type", 0, epochs=2)
    assert {"prior", "free", "labels", "bound", "distance", "distance + labels, mean rank"} == set(scores)
    assert all(np.isfinite(value) and 0 <= value <= 1 for value in scores.values())
