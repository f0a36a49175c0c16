from __future__ import annotations

import numpy as np
import pytest

from experiments.perturbation.scorer2 import scores_2026, to_counts
from experiments.perturbation.synthetic import synthetic_screen
from samplers.errors import InputError

TINY = {"n_seen": 10, "n_unseen": 4, "n_genes": 30, "n_features": 6, "n_latent": 2, "n_cells": 6, "n_control": 20}


def test_predictions_become_counts():
    screen = synthetic_screen(**TINY)
    totals = np.array([500.0])
    counts = to_counts(screen.adata, totals)
    values = counts.X.data
    assert (values == np.round(values)).all()
    np.testing.assert_allclose(np.asarray(counts.X.sum(1)).ravel(), 500, atol=30)
    assert to_counts(counts, totals) is counts


def test_the_scorer_of_2026_tells_the_truth_from_controls():
    screen = synthetic_screen(**{**TINY, "n_genes": 60, "n_cells": 30, "n_control": 60})
    truth = to_counts(screen.adata, np.array([800.0]))
    control = np.flatnonzero(truth.obs["target_gene"] == "non-targeting")
    nothing = truth.copy()
    nothing.X = truth.X[np.random.default_rng(0).choice(control, truth.n_obs)]
    best, none = (scores_2026(p, truth, "target_gene", "non-targeting") for p in (truth, nothing))
    assert best["pds_cosine"] == best["de_wilcoxon_sig_jaccard"] == 1
    assert none["pds_cosine"] < 0.75 and none["de_wilcoxon_sig_jaccard"] < 0.6
    # log1p-normalised predictions are turned into counts, their truth is not
    assert scores_2026(screen.adata, truth, "target_gene", "non-targeting")["pds_cosine"] > 0.9
    with pytest.raises(InputError, match="give raw counts"):
        scores_2026(truth, screen.adata, "target_gene", "non-targeting")
