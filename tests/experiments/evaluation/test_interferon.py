from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.data.synthetic import synthetic
from experiments.evaluation import interferon


def test_a_planted_response_is_found_and_clamped(tmp_path):
    adata = synthetic(n_cells=240, n_genes=300, n_types=2, n_batches=1, seed=0)
    rng = np.random.default_rng(0)
    treated = rng.random(adata.n_obs) < 0.5
    counts = adata.X.toarray()
    counts[np.ix_(treated, range(len(interferon.GENES)))] += rng.poisson(25, (treated.sum(), len(interferon.GENES)))
    adata.X = counts.astype(np.float32)
    adata.var_names = [*interferon.GENES, *adata.var_names[len(interferon.GENES) :]]
    adata.obs["arm"] = pd.Categorical(np.where(treated, "treated", "control"))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    found = interferon.run(str(tmp_path / "cells.h5ad"), 0, max_epochs=60, condition="arm")
    assert found["programme"]
    assert max(found["auroc"].values()) > 0.95
    assert found["correlation"] > 0.5
    # most of the genes that rise are the planted ones, in the cells and in the model
    assert found["shared_top_20"] >= 10
    assert {"on", "off", "own codes", "generated, on", "generated, off"} < set(found["two_sample"])
    assert all(0 <= value <= 1 for value in found["two_sample"].values())
