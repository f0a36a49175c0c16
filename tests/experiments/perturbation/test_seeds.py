"""Runs over seeds: presets, contexts held out in turn, and margins paired by seed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.perturbation.seed_runs import expanded, margins, pooled
from experiments.perturbation.seeds import run_seeds
from experiments.perturbation.synthetic import bimodal_screen
from samplers.errors import InputError


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
    results = pd.read_csv(tmp_path / "results.csv")
    assert set(results["context"]) == {"d0", "d2"} and not results.duplicated(["context", "predictor"]).any()
    found = pd.read_csv(tmp_path / "margins.csv").set_index("against")
    own, other = (scores.loc[name, "mae"] for name in ("model (boltzmann)", "model (default)"))
    assert found.loc["model (default)", "mae"] == pytest.approx(other - own)
    text = (tmp_path / "report.html").read_text()
    assert "Cells as a distribution" in text and "Margins of the model" in text
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
    assert gain["energy verdict"].tolist() == ["at least as good"]


def test_bad_runs_are_named(settings):
    with pytest.raises(InputError, match="no context 'd7'.*nearest"):
        expanded("r", settings | {"each": ["d7"]}, [0])
    with pytest.raises(InputError, match="context_key must name"):
        expanded("r", {"data": settings["data"], "each": True}, [0])
    with pytest.raises(InputError, match="name each preset"):
        expanded("r", settings | {"presets": "default"}, [0])
    with pytest.raises(InputError, match="no option 'rnk'"):
        expanded("r", settings | {"presets": {"boltzmann": {"rnk": 3}}}, [0])
