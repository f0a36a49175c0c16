"""Runs over seeds: presets, contexts held out in turn, and margins paired by seed."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from experiments.perturbation import seeds as room
from experiments.perturbation.report import _worse
from experiments.perturbation.seed_runs import expanded, margins, pooled
from experiments.perturbation.seeds import run_seeds
from experiments.perturbation.synthetic import bimodal_screen, synthetic_screen
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
    assert calls == ["half-0", "third-0", "half-1", "third-1"]
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


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    adata, _ = bimodal_screen(n_perturbations=2, n_cells=90, n_control=120, n_genes=30)
    adata.obs["donor"] = [f"d{k % 3}" for k in range(adata.n_obs)]
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    adata.write_h5ad(path)
    return {"data": str(path), "context_key": "donor", "each": ["d0", "d2"]}


def test_presets_and_contexts_make_one_table(settings, tmp_path):
    small = {"epochs": 2, "n_hidden": 8, "steps": 20, "n_chains": 16}
    runs = {"donor": settings | {"presets": {"boltzmann": small, "default": {"epochs": 1}}}}
    scores = run_seeds(runs, [0], tmp_path).set_index("predictor")
    assert {"model (boltzmann)", "model (boltzmann, generate)", "model (default)"} <= set(scores.index)
    assert {"ceiling (half against half)", "no change", "mean shift", "ridge on features"} <= set(scores.index)
    assert np.isfinite(
        scores.loc["model (boltzmann)", ["des", "mae", "mmd", "two_sample", "energy +-"]].astype(float)
    ).all()
    if find_spec("cell_eval2"):
        later = scores.loc[
            ["model (boltzmann)", "ridge on features"], ["pds_cosine", "de_wilcoxon_sig_jaccard", "cpu_seconds"]
        ]
        assert np.isfinite(later.astype(float)).all(axis=None)
        assert "Scores of the 2026 challenge" in (tmp_path / "report.html").read_text()
    results = pd.read_csv(tmp_path / "results.csv")
    assert set(results["context"]) == {"d0", "d2"} and not results.duplicated(["context", "predictor"]).any()
    # every way of making cells in every context, whichever a run has chosen
    ways = results[results["predictor"].str.contains(", (?:generate|transport|shift)", regex=True)]
    assert ways.groupby("predictor")["context"].nunique().tolist() == [2, 2, 2]
    found = pd.read_csv(tmp_path / "margins.csv").set_index("against")
    own, other = (scores.loc[name, "mae"] for name in ("model (boltzmann)", "model (default)"))
    assert found.loc["model (default)", "mae"] == pytest.approx(other - own)
    text = (tmp_path / "report.html").read_text()
    assert "Cells as a distribution" in text and "Margins of the model" in text
    # a score has a readable name that a hover explains; only what is none (the predictor, a verdict) goes without
    heads = re.findall(r"<th [^>]*><button type=\"button\"([^>]*)>([^<]*)", text)
    assert {"error (MAE)", "kernel distance (MMD)", "energy distance"} <= {name for _, name in heads}
    assert {name for explained, name in heads if not explained} <= {"predictor", "against", "verdict"}
    assert not [name for _, name in heads if "_" in name or name in ("des", "pds", "mae", "mmd")]
    again = run_seeds(runs, [0], tmp_path).set_index("predictor")
    pd.testing.assert_frame_equal(again, scores)


def test_intervals_are_over_contexts_where_there_are_several():
    frame = pd.DataFrame(
        {"run": "r", "predictor": ["a", "b"] * 4, "context": ["x"] * 4 + ["y"] * 4, "seed": [0, 0, 1, 1] * 2}
        | {"mae": [1.0, 2, 1.2, 2.2, 3, 4, 3.2, 4.2], "pds": 1.0, "mmd": 0.1, "energy": [0, 1, 0, 1, 0, 1, 0, 1.0]}
    )
    found = pooled(frame, "predictor", ["mae"])
    # two contexts, each the mean of two seeds: 1.1 and 3.1
    assert found["mae"].tolist() == pytest.approx([2.1, 3.1])
    assert found["mae +-"][0] == pytest.approx(12.706 * np.sqrt(2) / np.sqrt(2), rel=1e-4)
    gain = margins(frame)
    assert gain[["mae", "energy", "mmd"]].to_numpy().tolist() == [[pytest.approx(1), 1, 0]]
    assert gain["energy verdict"].tolist() == ["better"]


def test_the_report_names_where_the_model_is_worse():
    frame = pd.DataFrame(
        {"run": "r", "predictor": ["a", "b", "c"] * 3, "context": "", "seed": [0, 0, 0, 1, 1, 1, 2, 2, 2]}
        | {"energy": [1.0, 0.5, 2, 1.1, 0.6, 2, 1.0, 0.5, 2.1], "mae": [1.0, 1.1, 3, 1, 0.9, 3, 1, 1.05, 3]}
    )
    gain = margins(frame).set_index("against")
    assert gain["energy verdict"].to_dict() == {"b": "worse", "c": "better"}
    assert gain["mae verdict"].to_dict() == {"b": "level", "c": "better"}
    assert _worse(gain.reset_index()) == ["Worse, r: energy distance (against b)."]


def test_bad_runs_are_named(settings):
    with pytest.raises(InputError, match="no context 'd7'.*nearest"):
        expanded("r", settings | {"each": ["d7"]}, [0])
    with pytest.raises(InputError, match="context_key must name"):
        expanded("r", {"data": settings["data"], "each": True}, [0])
    with pytest.raises(InputError, match="name each preset"):
        expanded("r", settings | {"presets": "default"}, [0])
    with pytest.raises(InputError, match="no option 'rnk'"):
        expanded("r", settings | {"presets": {"boltzmann": {"rnk": 3}}}, [0])
