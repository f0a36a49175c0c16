from __future__ import annotations

import numpy as np

from experiments.perturbation.evaluate import evaluate, verdict
from experiments.perturbation.synthetic import synthetic_screen
from qbmvae.perturbation.fitting import fit, training_groups
from qbmvae.perturbation.options import Options, preset

TINY = {"n_seen": 10, "n_unseen": 4, "n_genes": 30, "n_features": 6, "n_latent": 2, "n_cells": 6, "n_control": 20}
FAST = {"epochs": 1, "n_qubits": 2, "n_layers": 1}


def test_baselines_do_not_depend_on_how_the_model_makes_cells():
    screen = synthetic_screen(**TINY)
    names = screen.adata.obs["target_gene"].astype(str).to_numpy()
    unseen = np.isin(names, screen.unseen)
    train, test = screen.adata[~unseen].copy(), screen.adata[unseen | (names == "non-targeting")].copy()
    groups = training_groups(train, train.X, "target_gene", "non-targeting", None, 0)
    scores = []
    for cells in ("scale", "shift"):
        options = Options.from_dict({**preset("default").to_dict(), **FAST, "cells": cells})
        model = fit(train, features=screen.features, options=options, seed=0)
        scores.append(evaluate(model, test, groups, n_control=20)["baselines"])
    assert scores[0] == scores[1]


def test_the_verdict_uses_paired_differences():
    own, other = {"pds": [0.9, 0.8, 0.7], "mae": [0.1, 0.1, 0.1]}, {"pds": [0.8, 0.7, 0.6], "mae": [0.09, 0.09, 0.09]}
    lines = verdict({"baselines": {"b": {}}, "per_perturbation": {"model": own, "b": other}})
    assert lines[0].endswith("better") and lines[1].endswith("worse")
    one = {k: v[:1] for k, v in own.items()}
    single = verdict(
        {"baselines": {"b": {}}, "per_perturbation": {"model": one, "b": {k: v[:1] for k, v in other.items()}}}
    )
    assert all(line.endswith("no interval") for line in single)
