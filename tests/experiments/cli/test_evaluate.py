from __future__ import annotations

import json

import anndata as ad
import pandas as pd
import pytest

from experiments.cli.main import run
from experiments.data.synthetic import synthetic


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small file and a run on it."""
    folder = tmp_path_factory.mktemp("evaluate")
    synthetic(240, 40, n_types=1, n_batches=2, seed=0).write_h5ad(folder / "cells.h5ad")
    run(
        ["train", f"{folder}/cells.h5ad", "--batch-key", "batch", "--max-epochs", "3", "--n-latent", "16", "--n-hidden",
         "16", "--out", f"{folder}/run", "--quiet", "--no-report"]
    )  # fmt: skip
    return folder


def test_every_score_is_written(trained, qbmvae):
    out = trained / "eval"
    code, text, _ = qbmvae(
        "evaluate", trained / "run", trained / "cells.h5ad", "--label-key", "cell_type", "--pair", "fate A,fate B",
        "--out", out, "--json",
    )  # fmt: skip
    assert code == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert json.loads(text) == metrics
    assert 0 <= metrics["integration"]["Total"] <= 1
    assert 0 <= metrics["classification"]["f1"] <= 1 and metrics["classification"]["per_class"]
    assert 0 <= metrics["trajectory"]["score"] <= 1 and "reference" in metrics["trajectory"]
    assert metrics["baselines"]["pca"]["integration"]["Total"] > 0
    assert metrics["data"]["encoder_saw_share"] == 1.0 and not metrics["data"]["encoder_saw_labels"]
    assert metrics["classification"]["close_pairs"]["fate A / fate B"]["low"] <= 1
    page = (out / "report.html").read_text()
    assert "data:image/png" in page and "Integration" in page and "Trajectory" in page
    assert "What the bits mean" in page and "without their labels" in page
    assert list(pd.read_csv(out / "integration.csv", index_col="model").index) == ["QBM-VAE", "pca"]


def test_bad_input_gets_one_line_and_leaves_nothing(trained, tmp_path, qbmvae):
    single = synthetic(240, 40, n_types=1, n_batches=2, seed=0)
    single = single[single.obs["batch"] == "batch 1"].copy()
    single.write_h5ad(tmp_path / "single.h5ad")
    cells = trained / "cells.h5ad"
    for data, words, message in (
        (cells, ["--label-key", "celltype"], "'cell_type'"),
        (cells, ["--label-key", "cell_type", "--batch-key", "lane"], "'lane'"),
        (tmp_path / "single.h5ad", ["--label-key", "cell_type"], "one batch only"),
        (cells, ["--label-key", "cell_type", "--tasks", "integratoin"], "integration"),
        (cells, ["--label-key", "cell_type", "--against", "pcaa"], "'pca'"),
        (cells, ["--label-key", "cell_type", "--time-key", "lineage"], "no time"),
        (cells, ["--label-key", "cell_type", "--tasks", "classification", "--pair", "fate A,fate C"], "'fate C'"),
        (cells, [], "--label-key"),
    ):
        code, _, err = qbmvae("evaluate", trained / "run", data, *words, "--out", tmp_path / "out", "--quiet")
        assert code == 2 and message in err, (words, err)
        assert not (tmp_path / "out").exists()


def test_reports_are_made_again(trained, tmp_path, qbmvae):
    code, out, _ = qbmvae("report", trained / "run", "--out", tmp_path / "r.html")
    assert code == 0 and str(tmp_path / "r.html") in out
    assert "data:image/png" in (tmp_path / "r.html").read_text()
    assert qbmvae("report", tmp_path)[0] == 2
    assert qbmvae("report", tmp_path / "none")[0] == 2


def test_compare_from_the_shell(trained, tmp_path, qbmvae):
    (tmp_path / "c.yaml").write_text(
        "name: tiny\ndatasets: [{name: cells, source: cells.h5ad, batch_key: batch, label_key: cell_type}]\n"
        "models: [qbmvae, pca]\nseeds: [0, 1, 2]\nmax_epochs: 1\nn_hidden: 8\ntasks: [clustering]\n"
    )
    words = ["compare", tmp_path / "c.yaml", "--out", tmp_path / "cmp", "--data-root", trained, "--json"]
    code, out, err = qbmvae(*words, "--set", "seeds=[0]")
    assert code == 0 and json.loads(out)["ran"] == 2 and not err.strip()
    code, out, _ = qbmvae(*words, "--set", "seeds=[0, 1]")
    assert code == 0 and json.loads(out) == {"fits": 3, "ran": 1, "failed": 0, "out": str(tmp_path / "cmp")}
    assert qbmvae("report", tmp_path / "cmp", "--quiet")[0] == 0
    assert qbmvae("compare", tmp_path / "none.yaml", "--out", tmp_path / "x")[0] == 2
    assert qbmvae(*words, "--set", "sead=[0]")[0] == 2
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    assert qbmvae("compare", tmp_path / "c.yaml", "--out", tmp_path / "full", "--data-root", trained)[0] == 2


def test_compare_needs_no_configuration_for_one_file(trained, tmp_path, qbmvae):
    words = [
        "compare",
        trained / "cells.h5ad",
        "--batch-key",
        "batch",
        "--label-key",
        "cell_type",
        "--models",
        "qbmvae,pca",
    ]
    words += ["--out", tmp_path / "cmp", "--seed", 0, "--set", "max_epochs=1", "--set", "tasks=[clustering]", "--json"]
    code, out, err = qbmvae(*words)
    assert code == 0 and not err and json.loads(out)["ran"] == 2, err
    assert "report.html" in {p.name for p in (tmp_path / "cmp").iterdir()}
    assert json.loads(qbmvae(*words)[1])["ran"] == 0


def test_shipped_configurations_go_by_name(tmp_path, qbmvae, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = qbmvae("compare", "gate", "--out", "o")
    assert code == 2 and "--data-root" in err
    monkeypatch.setenv("QBMVAE_DATA", str(tmp_path / "there"))
    code, _, err = qbmvae("compare", "gate", "--out", "o", "--set", "datasets=[kang]")
    assert code == 2 and "nearest: 'kang-ifnb'" in err
    assert not list(tmp_path.iterdir())


def test_cells_to_evaluate_and_compare_come_in_other_forms(trained, tmp_path, qbmvae):
    cells = ad.read_h5ad(trained / "cells.h5ad")
    cells.write_zarr(tmp_path / "cells.zarr")
    words = ["--batch-key", "batch", "--label-key", "cell_type", "--models", "pca", "--seed", 0, "--quiet"]
    code, _, err = qbmvae(
        "compare", tmp_path / "cells.zarr", *words, "--out", tmp_path / "c", "--set", "tasks=[clustering]"
    )
    assert code == 0, err
    words = ["--label-key", "cell_type", "--tasks", "clustering", "--quiet", "--out", tmp_path / "e"]
    code, _, err = qbmvae("evaluate", trained / "run", tmp_path / "cells.zarr", *words)
    assert code == 0, err
