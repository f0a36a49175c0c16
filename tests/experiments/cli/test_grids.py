"""The commands that fill a grid take configuration, seed and place alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from experiments.cli import grids
from experiments.cli.common import Settings
from experiments.cli.evaluate import OneSet, _comparison
from experiments.data.synthetic import synthetic

GRIDS = ["compare", "drug compare", "drug sweep", "perturb table", "perturb seeds"]


@pytest.mark.parametrize("command", [*GRIDS, "simulate"])
def test_two_configurations_are_one_too_many(command, qbmvae, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text("seeds: [0]\n")
    out = tmp_path / ("out.h5ad" if command == "simulate" else "out")
    words = [*command.split(), tmp_path / "one.yaml", "--config", tmp_path / "two.yaml", "--out", out]
    code, _, err = qbmvae(*words)
    assert code == 2 and "give one configuration" in err and not out.exists()


@pytest.mark.parametrize("command", GRIDS)
def test_every_grid_says_where_and_with_which_seed(command, qbmvae):
    _, out, _ = qbmvae(*command.split(), "--help")
    assert {"--seed", "--workers", "--ray"} <= set(out.replace("=", " ").split())


def test_options_win_over_the_file_and_set_over_options(tmp_path):
    (tmp_path / "c.yaml").write_text("seeds: [7]\ntables: {ic50: a, drugs: b}\nepochs: 3\n")
    settings = Settings(overrides={"tables.drugs": "d"})
    given = {"tables.ic50": "c", "tables.drugs": "c"}
    values, file = grids.configuration(settings, str(tmp_path / "c.yaml"), grids.Grid(seed=1), given=given)
    assert values == {"seeds": [1], "tables": {"ic50": "c", "drugs": "d"}, "epochs": 3} and file == tmp_path / "c.yaml"


def test_the_data_folder_of_a_file_is_relative_to_the_file(qbmvae, tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    run = {"runs": {"a": {"data": "a.h5ad"}}, "seeds": [0], "data_root": "../data"}
    grid = {
        "name": "c", "models": ["pca"], "ours": "pca", "data_root": "../data",
        "datasets": [{"name": "a", "source": "a.h5ad", "label_key": "cell_type"}],
    }  # fmt: skip
    monkeypatch.chdir(tmp_path / "elsewhere" / "deep")
    for command, values in (("perturb seeds", run), ("compare", grid)):
        path = tmp_path / "configs" / "c.yaml"
        path.write_text(yaml.safe_dump(values))
        for words in ([path], ["--config", path]):
            code, _, err = qbmvae(*command.split(), *words, "--out", "o")
            assert code == 2 and str(tmp_path / "data" / "a.h5ad") in err
        code, _, err = qbmvae(*command.split(), path, "--out", "o", "--data-root", "here")
        assert code == 2 and str(Path("here").resolve() / "a.h5ad") in err


def test_cells_take_settings_from_a_file(tmp_path):
    synthetic(30, 20).write_h5ad(tmp_path / "cells.h5ad")
    settings = Settings(tmp_path / "c.yaml", {"max_epochs": 3}, {"seeds": [5]})
    one = OneSet(label_key="cell_type", models=("pca", "scvi"))
    made = _comparison(str(tmp_path / "cells.h5ad"), settings, settings.overrides, one)
    assert made.max_epochs == 3 and made.seeds == (5,) and [m.name for m in made.models] == ["pca", "scvi"]
