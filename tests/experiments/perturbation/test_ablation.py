from __future__ import annotations

import json

import numpy as np
import pytest

from experiments.perturbation.ablation import TableConfig, run_table
from experiments.perturbation.evaluate import evaluate
from experiments.perturbation.scorer2 import scores_2026, to_counts
from experiments.perturbation.synthetic import synthetic_screen
from qbmvae.perturbation.fitting import fit, training_groups
from qbmvae.perturbation.options import Options, preset
from samplers.errors import InputError

TINY = {"n_seen": 10, "n_unseen": 4, "n_genes": 30, "n_features": 6, "n_latent": 2, "n_cells": 6, "n_control": 20}
FAST = {"epochs": 1, "n_qubits": 2, "n_layers": 1}


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


@pytest.mark.parametrize("table", ["ablation", "phases"])
def test_tables_fill_and_go_on(tmp_path, table):
    config = TableConfig(table, (0,), TINY, FAST, backbone_epochs=1, n_control=20)
    summary = run_table(config, tmp_path)
    rows = set(summary["row"])
    assert {"published prototype", "mean response", "ridge on features"} <= rows
    assert len(rows) == len(config.rows()) + 5
    assert summary["pds"].between(0, 1).all()
    told: list[str] = []
    again = run_table(config, tmp_path, told.append)
    assert told == [f"{len(config.rows())} fits, {len(config.rows())} done before"] and again.equals(summary)
    # the baselines of a seed are scored once: by its first row, for all
    first = next(iter(config.rows()))
    files = {p.stem: json.loads(p.read_text())["baselines"] for p in (tmp_path / "fits").iterdir()}
    assert [name for name, found in files.items() if found] == [f"{first.replace(' ', '-')}-0"]
    assert (tmp_path / "report.html").is_file()


def test_predictions_become_counts():
    screen = synthetic_screen(**TINY)
    totals = np.array([500.0])
    counts = to_counts(screen.adata, totals)
    values = counts.X.data
    assert (values == np.round(values)).all()
    np.testing.assert_allclose(np.asarray(counts.X.sum(1)).ravel(), 500, atol=30)
    assert to_counts(counts, totals) is counts


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
