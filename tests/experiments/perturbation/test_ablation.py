from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from experiments.perturbation.ablation import TableConfig, run_table
from experiments.perturbation.synthetic import synthetic_screen
from qbmvae.perturbation import diagnostics, fit, preset
from qbmvae.perturbation.scoring import discrimination, screen

TINY = {"n_seen": 10, "n_unseen": 4, "n_genes": 30, "n_features": 6, "n_latent": 2, "n_cells": 6, "n_control": 20}
FAST = {"epochs": 1, "n_qubits": 2, "n_layers": 1}


@pytest.fixture(scope="module")
def data():
    return synthetic_screen(n_genes=150, n_seen=150, n_unseen=51, n_cells=15, n_control=200)


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
