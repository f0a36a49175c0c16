from __future__ import annotations

import numpy as np

from experiments.perturbation.synthetic import synthetic_screen


def test_synthetic_effects_are_the_cells_effects():
    screen = synthetic_screen(n_seen=3, n_unseen=1, n_genes=30, n_cells=400, n_control=400, strength=1.5, seed=1)
    names = screen.adata.obs["target_gene"].to_numpy()
    control = np.expm1(screen.adata.X[names == "non-targeting"].toarray()).mean(0)
    for name in screen.features.names:
        ratio = np.log(np.expm1(screen.adata.X[names == name].toarray()).mean(0) / control)
        # normalisation to equal totals moves all genes of a perturbation by one constant
        difference = (ratio - screen.effects.loc[name].to_numpy())[control > 20]
        assert np.median(np.abs(difference - np.median(difference))) < 0.1
    assert screen.unseen == ["P3"]
