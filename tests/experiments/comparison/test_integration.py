from __future__ import annotations

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

from experiments.comparison.config import load_config
from experiments.comparison.grid import entry_path
from experiments.comparison.integration import run_comparison
from experiments.comparison.report import write_report
from experiments.data.synthetic import synthetic
from samplers.errors import InputError


@pytest.fixture
def config(tmp_path):
    cells = synthetic(150, 40, n_types=2, seed=0)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    path = tmp_path / "config.yaml"
    path.write_text(
        """
name: tiny
datasets:
  - {name: cells, source: cells.h5ad, batch_key: batch, label_key: cell_type, time_keys: [time], novel_type: type 1}
  - {name: absent, source: absent.h5ad, optional: true}
models: [qbmvae, pca]
seeds: [0, 1]
max_epochs: 2
n_hidden: 16
snapshots: [1, 2]
tasks: [clustering, trajectory, classification, held-out-batches, generation, novelty]
"""
    )
    return path


def test_where_every_fit_fails_the_reason_is_said(config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "harmonypy", None)
    with pytest.raises(InputError, match=r"2 of 2 fits failed, the first, .*qbmvae\[experiments\]"):
        run_comparison(
            load_config(config, {"models": ["harmony"], "ours": "harmony"}), tmp_path / "out", say=lambda _: None
        )


def test_a_grid_runs_resumes_and_reports(config, tmp_path):
    out = tmp_path / "out"
    lines: list[str] = []
    comparison = load_config(config)
    first = run_comparison(comparison, out, say=lines.append)
    # two seeds of ours, one of PCA, which has no randomness
    assert first == {"fits": 3, "ran": 3, "failed": 0, "out": str(out)}
    assert any("absent is left out" in line for line in lines)
    results = pd.read_parquet(out / "results.parquet")
    stored = json.loads(entry_path(out, "cells/qbmvae__0").read_text())
    assert {"preparation", "fit", "clustering", "novelty"} <= set(stored["costs"])
    assert set(results.model) == {"qbmvae", "pca"} and {"generation", "novelty"} <= set(results.task)
    assert not results.duplicated(["dataset", "model", "seed", "task", "metric", "epoch"]).any()
    page = (out / "report.html").read_text()
    assert "Where the claim holds" in page and page.count("data:image/png") >= 3
    # nothing is loaded from elsewhere
    assert not re.search(r'(src|href)="(?!data:|#)', re.sub(r"<script>.*?</script>", "", page, flags=re.S))
    # colours of the explorer: the data set's annotations and genes
    assert {"batch", "cell_type", "time"} <= set(pd.read_parquet(out / "fits" / "cells" / "cells.parquet").columns)
    with np.load(out / "fits" / "cells" / "pca__0.npz") as stored:
        assert len(stored["obs_names"]) == len(stored["embedding"]) == 150

    # a kill: one result lost, one half-written; the others are not run again
    kept = entry_path(out, "cells/qbmvae__0").stat().st_mtime_ns
    entry_path(out, "cells/qbmvae__1").write_text('{"dataset": "ce')
    entry_path(out, "cells/pca__0").unlink()
    again = run_comparison(comparison, out, say=lines.append)
    assert again["ran"] == 2 and entry_path(out, "cells/qbmvae__0").stat().st_mtime_ns == kept
    pd.testing.assert_frame_equal(
        pd.read_parquet(out / "results.parquet").drop(columns=["seconds", "cpu_seconds"]),
        results.drop(columns=["seconds", "cpu_seconds"]),
    )
    assert run_comparison(comparison, out, say=lines.append)["ran"] == 0
    write_report(out, tmp_path / "again.html")
    assert (tmp_path / "again.html").stat().st_size > 50_000


def test_a_failing_model_does_not_stop_the_grid(config, tmp_path):
    comparison = load_config(config, {"models": ["qbmvae", "pca"], "seeds": [0], "ours": "pca"})
    broken = load_config(
        config, {"models": [{"name": "qbmvae", "options": {"prior": "none"}}, "pca"], "ours": "pca", "seeds": [0]}
    )
    out = tmp_path / "out"
    summary = run_comparison(broken, out, say=lambda _: None)
    assert summary["failed"] == 1 and summary["fits"] == 1
    assert "error" in json.loads(entry_path(out, "cells/qbmvae__0").read_text())
    assert "Failures" in (out / "report.html").read_text()
    # mended settings are another cell; PCA's result stays
    assert run_comparison(comparison, out, say=lambda _: None)["ran"] == 1


def test_settings_are_checked(config):
    for overrides, message in (
        ({"max_epoch": 3}, "nearest: 'max_epochs'"),
        ({"models": ["qbmvaa"]}, "no model 'qbmvaa'"),
        ({"models": ["pca"]}, "ours names 'qbmvae'"),
        ({"models": ["qbmvae", "qbmvae"]}, "repeat"),
        ({"tasks": ["integratoin"]}, "no task 'integratoin'"),
        ({"seeds": []}, "seeds"),
        ({"max_epochs": "many"}, "whole number"),
        ({"task_seeds": {"noveltie": [0]}}, "no task 'noveltie'"),
        ({"task_seeds": {"novelty": 0}}, "task_seeds.novelty takes a list"),
        ({"task_seeds": [0]}, "takes a mapping"),
        ({"models": ["qbmvae", {"name": "vae", "seeds": []}]}, "seeds of 'vae'"),
        ({"datasets": ["cell"]}, "no dataset 'cell'"),
    ):
        with pytest.raises(InputError, match=message):
            load_config(config, overrides)
    assert load_config(config, {"seeds": 3}).seeds == (3,)
    assert [d.name for d in load_config(config, {"datasets": ["cells"]}).datasets] == ["cells"]


def test_what_a_cell_depends_on_is_in_its_hash(config):
    base = load_config(config)
    data, model, _ = base.fits()[0]
    for overrides in ({"max_epochs": 3}, {"tasks": ["clustering"]}, {"max_cells": 50}):
        assert load_config(config, overrides).fit_hash(data, model, 0) != base.fit_hash(data, model, 0)
    assert load_config(config, {"name": "other"}).fit_hash(data, model, 0) == base.fit_hash(data, model, 0)
    assert base.fit_hash(data, model, 1) != base.fit_hash(data, model, 0)


def test_models_and_tasks_may_run_with_some_of_the_seeds(config):
    models = ["qbmvae", {"name": "vae", "seeds": [1], "tasks": ["clustering", "novelty"]}]
    comparison = load_config(config, {"models": models, "task_seeds": {"novelty": [0]}})
    assert [(m.name, s) for _, m, s in comparison.fits() if _.name == "cells"] == [
        ("qbmvae", 0),
        ("qbmvae", 1),
        ("vae", 1),
    ]
    data, (ours, vae) = comparison.datasets[0], comparison.models
    assert "novelty" in comparison.fit_tasks(data, ours, 0) and "novelty" not in comparison.fit_tasks(data, ours, 1)
    assert comparison.fit_tasks(data, vae, 1) == ("clustering",)
    # a cell's result depends on its own tasks alone: another's do not cost it
    before = load_config(config, {"models": models})
    assert before.fit_hash(data, vae, 1) != comparison.fit_hash(data, vae, 1)
    assert before.fit_hash(data, ours, 0) == comparison.fit_hash(data, ours, 0)


def test_a_subsample_is_every_models(config):
    from dataclasses import replace

    from experiments.comparison.integration import prepared

    comparison = load_config(config)
    data = replace(comparison.datasets[0], n_cells=60)
    ready = prepared(data, comparison.data_root, ("clustering",), 10_000)
    assert abs(ready.adata.n_obs - 60) <= 4 and len(ready.rows) == ready.adata.n_obs
    assert ready.adata.obs.cell_type.nunique() == 5
    assert comparison.fit_hash(data, comparison.models[0], 0) != comparison.fit_hash(
        comparison.datasets[0], comparison.models[0], 0
    )


@pytest.mark.parametrize("name", ["paper", "ablation", "public"])
def test_the_configurations_that_ship_can_be_read(name):
    from pathlib import Path

    import experiments

    comparison = load_config(Path(experiments.__file__).parent / "configs" / f"{name}.yaml")
    assert comparison.seeds == (0, 1, 2, 3, 4) and len(comparison.fits()) > 50


def test_a_set_that_must_be_there_is_named(config, tmp_path):
    (tmp_path / "cells.h5ad").unlink()
    with pytest.raises(InputError, match=r"cells\.h5ad"):
        run_comparison(load_config(config), tmp_path / "out", say=lambda _: None)
