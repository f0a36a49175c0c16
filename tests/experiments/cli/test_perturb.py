from __future__ import annotations

import json
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from experiments.cli import main
from experiments.perturbation.evaluate import lines
from experiments.perturbation.synthetic import synthetic_screen

SMALL = ["--set", "epochs=2", "--set", "n_qubits=2", "--set", "n_layers=1", "--quiet"]


def run(monkeypatch, *arguments):
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["qbmvae", "perturb", *map(str, arguments)])
    try:
        main.run()
    except SystemExit as stopped:
        return stopped.code or 0
    return 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Counts of a small screen whose perturbations have features, and the challenge's side files."""
    folder = tmp_path_factory.mktemp("screen")
    screen = synthetic_screen(n_seen=12, n_unseen=4, n_genes=40, n_features=8, n_latent=2, n_cells=12, n_control=40)
    counts = screen.adata.copy()
    counts.X = sp.csr_matrix(np.rint(np.expm1(counts.X.toarray()))).astype(np.float32)
    counts.obs["replicate"] = np.where(np.arange(counts.n_obs) % 2, "r1", "r2")
    counts.write_h5ad(folder / "screen.h5ad")
    table = pd.DataFrame(screen.features.values, index=screen.features.names)
    table.to_csv(folder / "features.csv")
    pd.DataFrame({"target_gene": ["P14", "P15"], "n_cells": [5, 7], "median_umi_per_cell": [1.0, 2.0]}).to_csv(
        folder / "wanted.csv", index=False
    )
    (folder / "gene_names.csv").write_text("\n".join(counts.var_names[::-1]))
    return folder


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        code = run(patch, "train", folder / "screen.h5ad", "--features", folder / "features.csv", "--out", out, *SMALL)
    assert code == 0
    return out


def test_train_writes_a_run_folder(trained):
    files = {p.name for p in trained.iterdir()}
    assert {
        "config.yaml",
        "versions.json",
        "history.csv",
        "model.safetensors",
        "model.json",
        "metrics.json",
        "report.html",
    } <= files
    assert not any(name.startswith(".") or name == "checkpoint.pt" for name in files)
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["holdout"] == "perturbations" and metrics["n_perturbations"] == 3
    assert 0 <= metrics["pds"] <= 1 and metrics["mae"] > 0 and "overall" in metrics
    assert set(metrics["baselines"]) == {"no change", "mean response", "nearest perturbation", "ridge on features"}
    assert metrics["baselines"]["mean response"]["overall"] == 0
    assert "data:image/png" in (trained / "report.html").read_text()
    printed = lines(metrics).splitlines()
    assert [line[:32].strip() for line in printed] == ["held-out perturbations", "model", *metrics["baselines"]]
    assert f"{metrics['pds']:.4f}" in printed[1]


def test_predict_makes_a_file_that_cell_eval_prep_takes(folder, trained, tmp_path, monkeypatch):
    out = tmp_path / "prediction.h5ad"
    arguments = [
        "--perturbations",
        folder / "wanted.csv",
        "--genes",
        folder / "gene_names.csv",
        "--out",
        out,
        "--quiet",
    ]
    assert run(monkeypatch, "predict", trained, *arguments) == 0
    predicted = ad.read_h5ad(out)
    counts = predicted.obs["target_gene"].value_counts()
    assert (counts["P14"], counts["P15"], counts["non-targeting"]) == (5, 7, 40)
    assert predicted.X.dtype == np.float32 and sp.issparse(predicted.X)
    prep = pytest.importorskip("cell_eval._cli._prep")
    monkeypatch.setattr(prep.subprocess, "run", lambda *_: None)
    genes = (folder / "gene_names.csv").read_text().split()
    assert list(predicted.var_names) == genes
    prep.strip_anndata(
        predicted,
        output_path=str(tmp_path / "x.vcc"),
        genelist=genes,
        pert_col="target_gene",
        encoding=32,
        exp_gene_dim=40,
    )


def test_evaluate_a_run_and_a_file(folder, trained, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "evaluate", trained, folder / "screen.h5ad", "--out", tmp_path / "scores", "--json") == 0
    numbers = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "scores" / "metrics.json").read_text()) == pytest.approx(numbers)
    data = folder / "screen.h5ad"
    assert run(monkeypatch, "evaluate", data, data, "--json") == 0
    assert json.loads(capsys.readouterr().out)["pds"] == 1


def test_contexts_and_resumption(folder, tmp_path, monkeypatch):
    data = [folder / "screen.h5ad", "--context-key", "replicate", "--holdout-values", "r2", "--backbone", "none"]
    assert run(monkeypatch, "train", *data, "--out", tmp_path / "whole", *SMALL) == 0
    whole = json.loads((tmp_path / "whole" / "metrics.json").read_text())
    assert whole["holdout"] == "context" and whole["held_out"] == ["r2"]
    # a run that stopped before its first file but for the configuration goes on
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.yaml").write_text((tmp_path / "whole" / "config.yaml").read_text())
    assert run(monkeypatch, "train", "--resume", tmp_path / "half", "--quiet") == 0
    assert json.loads((tmp_path / "half" / "metrics.json").read_text())["pds"] == whole["pds"]
    assert run(monkeypatch, "train", "--resume", tmp_path / "half", "--quiet") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--control", "ctrl"], "no control cells: no cell has 'ctrl'"),
        (["--pert-key", "target"], "no column 'target'; nearest: 'target_gene'"),
        (["--features", "wanted.csv"], "no features"),
        (["--preset", "prototyp"], "nearest: 'prototype'"),
        (["--preset", "boltzman"], "nearest: 'boltzmann'"),
        (["--set", "n_qubit=3"], "no option 'n_qubit'"),
        (["--backbone", "state-dir"], "no directory"),
        (["--holdout", "context"], "give --context-key"),
        (["--holdout", "combinations"], "joins perturbations with '+'"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(folder, tmp_path, monkeypatch, capsys, arguments, words):
    arguments = [folder / a if str(a).endswith(".csv") else a for a in arguments]
    assert run(monkeypatch, "train", folder / "screen.h5ad", "--out", tmp_path / "run", *arguments, *SMALL) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and words in error[0]
    # the corrected command takes the same --out
    assert not (tmp_path / "run").exists()


def test_other_wrong_files(folder, trained, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, "train", tmp_path / "none.h5ad", "--out", tmp_path / "run", "--quiet") == 2
    assert (
        run(monkeypatch, "predict", tmp_path, "--perturbations", folder / "wanted.csv", "--out", tmp_path / "p.h5ad")
        == 2
    )
    (tmp_path / "unknown.csv").write_text("target_gene,n_cells\nTP53,3\n")
    assert (
        run(monkeypatch, "predict", trained, "--perturbations", tmp_path / "unknown.csv", "--out", tmp_path / "p.h5ad")
        == 2
    )
    assert "perturbation 'TP53' has no features" in capsys.readouterr().err
    (tmp_path / "bad.csv").write_text("target_gene,n_cells\nP1,many\n")
    assert (
        run(monkeypatch, "predict", trained, "--perturbations", tmp_path / "bad.csv", "--out", tmp_path / "p.h5ad") == 2
    )
    assert "row 2: n_cells is 'many'" in capsys.readouterr().err


def test_evaluate_quiet_prints_nothing(folder, monkeypatch, capfd):
    data = folder / "screen.h5ad"
    assert run(monkeypatch, "evaluate", data, data, "--quiet") == 0
    assert capfd.readouterr() == ("", "")


def test_resume_with_changed_counts_is_refused(folder, tmp_path, monkeypatch, capsys):
    import anndata as ad

    data = tmp_path / "screen.h5ad"
    screen = ad.read_h5ad(folder / "screen.h5ad")
    screen.write_h5ad(data)
    arguments = ["--backbone", "none", "--out", tmp_path / "run", "--holdout", "cells", *SMALL]
    assert run(monkeypatch, "train", data, *arguments) == 0
    for finished in ("metrics.json", "model.json"):
        (tmp_path / "run" / finished).unlink()
        changed = screen.copy()
        changed.X = changed.X * 1.1
        changed.write_h5ad(data)
        capsys.readouterr()
        assert run(monkeypatch, "train", "--resume", tmp_path / "run", "--quiet") == 2
        assert "other expression" in capsys.readouterr().err
    screen.write_h5ad(data)
    assert run(monkeypatch, "train", "--resume", tmp_path / "run", "--quiet") == 0


def test_the_conditional_machine(tmp_path, monkeypatch, capsys):
    from experiments.perturbation.synthetic import bimodal_screen

    adata, _ = bimodal_screen(n_perturbations=2, n_cells=60, n_control=80, n_genes=30, seed=1)
    adata.write_h5ad(tmp_path / "screen.h5ad")
    out = tmp_path / "run"
    options = ["--set", "epochs=2", "--set", "steps=50", "--set", "n_latent=8", "--share", "0.5", "--quiet"]
    arguments = [tmp_path / "screen.h5ad", "--preset", "boltzmann", "--out", out, *options]
    assert run(monkeypatch, "train", *arguments, "--json") == 0
    metrics = json.loads(capsys.readouterr().out)
    assert {"mmd", "energy", "frechet"} <= set(metrics["distribution"]["scores"][0])
    assert 0 <= metrics["pds"] <= 1 and "Cells as a distribution" in (out / "report.html").read_text()
    assert "Fewer than three perturbations" in (out / "report.html").read_text() and not (out / "pca.png").exists()
    assert not [line for line in metrics["verdict"] if "nan" in line]
    (tmp_path / "wanted.csv").write_text("target_gene,n_cells\nP0,5\nP0+P1,4\n")
    words = ["--perturbations", tmp_path / "wanted.csv", "--out", tmp_path / "p.h5ad", "--n-control", "3", "--quiet"]
    for more in ([], ["--how", "transport"], ["--how", "shift"], ["--dose", "0.5", "--clamp", "2=1"]):
        assert run(monkeypatch, "predict", out, *words, *more) == 0
    controls = adata[(adata.obs["target_gene"] == "non-targeting").to_numpy()].copy()
    controls.write_h5ad(tmp_path / "controls.h5ad")
    adata.obs = adata.obs[["responds"]]
    adata.write_h5ad(tmp_path / "unlabelled.h5ad")
    (tmp_path / "numbers.csv").write_text("gene,cells\nP0,5\n")
    wrong = [
        (["predict", out, *words, "--how", "mixture"], "no shares for a mixture"),
        (
            ["predict", out, "--perturbations", tmp_path / "numbers.csv", *words[2:]],
            "no column n_cells; nearest: 'cells'",
        ),
        (["evaluate", out, tmp_path / "controls.h5ad"], "there is no perturbation beside it"),
        (["evaluate", out, tmp_path / "controls.h5ad", "--scorer", "cell-eval2"], "there is no perturbation beside it"),
        (["evaluate", out, tmp_path / "unlabelled.h5ad"], "no column 'target_gene'"),
        (["train", tmp_path / "controls.h5ad", *arguments[1:3], "--out", tmp_path / "no"], "no perturbation beside it"),
    ]
    for line, text in wrong:
        capsys.readouterr()
        assert run(monkeypatch, *line) == 2 and text in capsys.readouterr().err
    assert run(monkeypatch, "predict", out, *words, "--clamp", "2") == 2
    capsys.readouterr()
    assert run(monkeypatch, "evaluate", out, tmp_path / "screen.h5ad", "--json") == 0
    assert 0 <= json.loads(capsys.readouterr().out)["des"] <= 1
    assert run(monkeypatch, "train", *arguments[:3], "--out", tmp_path / "no", "--set", "n_qubits=3") == 2
    assert "no option 'n_qubits' of the preset 'boltzmann'" in capsys.readouterr().err


def test_options_of_the_machine_are_refused_for_a_delta_predictor(folder, trained, tmp_path, monkeypatch, capsys):
    words = ["--perturbations", folder / "wanted.csv", "--out", tmp_path / "p.h5ad", "--dose", "0.5"]
    assert run(monkeypatch, "predict", trained, *words) == 2
    assert "--dose belongs to runs of --preset boltzmann" in capsys.readouterr().err


def test_the_2026_scorer(tmp_path, monkeypatch, capsys):
    pytest.importorskip("cell_eval2")
    from experiments.perturbation.synthetic import bimodal_screen

    adata, _ = bimodal_screen(n_perturbations=3, n_cells=40, n_control=60, n_genes=40, seed=1)
    adata.write_h5ad(tmp_path / "observed.h5ad")
    adata[:, ::-1].copy().write_h5ad(tmp_path / "predicted.h5ad")
    files = [tmp_path / "predicted.h5ad", tmp_path / "observed.h5ad"]
    assert run(monkeypatch, "evaluate", *files, "--scorer", "cell-eval2", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {"wall_seconds", "cpu_seconds", "peak_gib"} < set(found) and len(found) > 6
    assert run(monkeypatch, "evaluate", *files, "--scorer", "cell-eval2", "--control", "ctrl") == 2
    assert "no cell has 'ctrl'" in capsys.readouterr().err
    adata[:, 1:].copy().write_h5ad(tmp_path / "predicted.h5ad")
    assert run(monkeypatch, "evaluate", *files, "--scorer", "cell-eval2") == 2
    assert "1 of the 40 genes of the observed cells are missing" in capsys.readouterr().err
