"""The claims of the ablation table on one seed: the prototype collapses, bandwidth and normalisation cure it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.perturbation.synthetic import synthetic_screen
from qbmvae.perturbation import diagnostics, fit, preset
from qbmvae.perturbation.scoring import discrimination, screen


@pytest.fixture(scope="module")
def data():
    return synthetic_screen(n_genes=150, n_seen=150, n_unseen=51, n_cells=15, n_control=200)


@pytest.mark.parametrize(
    ("name", "changes", "low", "high"),
    [("prototype", {"epochs": 2}, 0.4, 0.6), ("bandwidth", {}, 0.95, 1.0), ("default", {"epochs": 3}, 0.98, 1.0)],
)
def test_pds_of_51_unseen_perturbations(data, name, changes, low, high):
    labels = data.adata.obs["target_gene"].astype(str).to_numpy()
    unseen, control = np.isin(labels, data.unseen), labels == "non-targeting"
    truth = screen(data.adata[unseen | control])
    model = fit(data.adata[~unseen].copy(), features=data.features, options=replace(preset(name), **changes))
    effects = model.predict_delta(list(truth.names), data.adata[control].copy())
    pds = discrimination(effects, truth.means - truth.control, truth.names, np.array(model.genes)).mean()
    assert low <= pds <= high
    alike = diagnostics.between_similarity(effects + truth.control)
    assert (alike > 0.995) == (name == "prototype")
