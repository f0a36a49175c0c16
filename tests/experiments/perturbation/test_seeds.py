from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from experiments.perturbation import seeds as room
from experiments.perturbation.seeds import run_seeds
from experiments.perturbation.synthetic import synthetic_screen
from samplers.errors import InputError


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two small runs that hold cells out."""
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    screen = synthetic_screen(n_seen=4, n_unseen=1, n_genes=20, n_features=4, n_latent=2, n_cells=12, n_control=30)
    screen.adata.write_h5ad(path)
    common = {"data": str(path), "n_control": 20, "options": {"epochs": 1, "n_qubits": 2, "n_layers": 1}}
    return {"half": {**common, "share": 0.5}, "third": {**common, "share": 0.34}}


def test_runs_over_seeds_go_on_where_they_stopped(runs, tmp_path, monkeypatch):
    train, calls = room.train_run, []

    def stops_at_the_third(config, folder):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(folder.name)
        return train(config, folder)

    monkeypatch.setattr(room, "train_run", stops_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run_seeds(runs, (0, 1), tmp_path)
    monkeypatch.setattr(room, "train_run", lambda config, folder: (calls.append(folder.name), train(config, folder))[1])
    # a run folder of before the grid, without a result file of its own, is read
    (tmp_path / "fits" / "half-0.json").unlink()
    table = run_seeds(runs, (0, 1), tmp_path)
    assert calls == ["half-0", "half-1", "third-0", "third-1"]
    assert {f"{name}-{seed}" for name in runs for seed in (0, 1)} <= {p.name for p in tmp_path.iterdir()}
    own = [json.loads((tmp_path / f"half-{s}" / "metrics.json").read_text())["model"]["pds"] for s in (0, 1)]
    row = table.set_index(["run", "predictor"]).loc[("half", "model")]
    assert row["pds"] == pytest.approx(np.mean(own))
    # half of Student's interval of two values is 12.706 standard errors
    assert row["pds +-"] == pytest.approx(12.7062 * np.std(own, ddof=1) / np.sqrt(2), rel=1e-4)
    assert set(pd.read_csv(tmp_path / "margins.csv")["run"]) == {"half", "third"}
    assert "Margins of the model" in (tmp_path / "report.html").read_text()
    with pytest.raises(InputError, match="another 'seeds'"):
        run_seeds(runs, (0, 2), tmp_path)


def test_a_failed_run_does_not_stop_the_others(runs, tmp_path):
    wrong = {"wrong": {**runs["half"], "control": "contrl"}, "half": runs["half"]}
    with pytest.raises(InputError, match="1 of 2 fits failed, the first, wrong-0: .*non-targeting"):
        run_seeds(wrong, (0,), tmp_path)
    assert (tmp_path / "half-0" / "report.html").is_file()


def test_a_run_without_held_out_cells_is_refused(runs, tmp_path):
    with pytest.raises(InputError, match="holds nothing out"):
        run_seeds({"all": {**runs["half"], "holdout": "none"}}, (0,), tmp_path)
