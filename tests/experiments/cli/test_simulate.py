from __future__ import annotations

import json
import subprocess
import sys

import anndata as ad
import pytest
import yaml


def test_the_preset_is_written_as_in_memory(qbmvae, tmp_path):
    from qbmvae.cellsim import simulate

    code, out, err = qbmvae(
        "simulate", "paper-notebook", "--out", tmp_path / "sim.h5ad", "--n-cells", 200, "--seed", 0, "--json", "--quiet"
    )
    assert code == 0, err
    assert json.loads(out)["n_cells"] == 800
    written, expected = ad.read_h5ad(tmp_path / "sim.h5ad"), simulate("paper-notebook", n_cells=200, seed=0)
    assert (written.X != expected.X).nnz == 0 and written.obs.equals(expected.obs)
    assert [p.name for p in tmp_path.iterdir()] == ["sim.h5ad"]


def test_a_yaml_file_with_overrides(qbmvae, tmp_path):
    config = {"cell_types": {"A": {"x": 0.5}, "B": {"y": 0.5}}, "edges": [["x", "y"]], "n_cells": 5, "seed": 3}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    code, _, err = qbmvae(
        "simulate", tmp_path / "c.yaml", "--out", tmp_path / "s.h5ad", "--set", "housekeeping.n=4", "--set", "n_cells=7"
    )
    assert code == 0, err
    written = ad.read_h5ad(tmp_path / "s.h5ad")
    assert written.shape == (14, 6) and written.uns["truth"]["seed"] == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["paper-notebok", "--out", "x.h5ad"], "nearest: 'paper-notebook'"),
        (["paper-notebook", "--out", "x.csv"], "must end in .h5ad, .zarr"),
        (["paper-notebook", "--out", "nowhere/x.h5ad"], "folder 'nowhere' does not exist"),
        (["paper-notebook", "--out", "x.h5ad", "--n-cells", "0"], "--n-cells"),
        (["paper-notebook", "--out", "x.h5ad", "--set", "counts.size=-1"], "counts.size is -1"),
        (["paper-notebook", "--out", "x.h5ad", "--set", "counts"], "is not key=value"),
    ],
)
def test_wrong_input_is_one_line(qbmvae, arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = qbmvae("simulate", *arguments)
    assert code == 2 and says in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_command_exits_with_2_and_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "experiments.cli.main", "simulate", "none.yaml", "--out", str(tmp_path / "s.h5ad")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.startswith("qbmvae: error: there is no file none.yaml")
    assert done.stderr.count("\n") == 1
