from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

from experiments.cli.main import run

SMILES = ["CCO", "c1ccccc1", "CC(=O)O", "CCN", "C1CCCCC1"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(1)
    lines = pd.Index(range(900, 920), name="cosmic_id")
    pd.DataFrame(rng.integers(0, 2, (20, 20)), index=lines).rename(columns=str).to_parquet(folder / "features.parquet")
    drugs = pd.DataFrame({"drug_id": range(1, 6), "smiles": SMILES})
    drugs.to_csv(folder / "drugs.csv", index=False)
    responses = pd.DataFrame([(d, c) for d in drugs.drug_id for c in lines], columns=["drug_id", "cosmic_id"])
    responses.assign(ln_ic50=responses["drug_id"] + rng.normal(0, 0.5, 100)).to_parquet(folder / "ic50.parquet")
    return folder


@pytest.fixture
def qbmvae(monkeypatch, capsys, files):
    """Run `qbmvae drug ...` with the three tables where they are asked for by "@"; return code, stdout, stderr."""
    tables = ["--ic50", "ic50.parquet", "--features", "features.parquet", "--drugs", "drugs.csv"]
    tables = [t if t.startswith("--") else str(files / t) for t in tables]

    def call(*arguments: object):
        words = [str(w) for a in arguments for w in (tables if a == "@" else [a])]
        monkeypatch.setattr(sys, "argv", ["qbmvae", "drug", *words])
        try:
            run()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def trained(qbmvae, tmp_path):
    code, out, err = qbmvae("train", "@", "--head", "quantum", "--n-layers", 1, "--epochs", 2, "--out", tmp_path / "r")
    assert code == 0, err
    assert "epoch 2/2" in err and "report" in out
    assert [w for w in ("within drugs", "drug-mean", "line-mean", "drug-and-line-mean") if w not in out] == []
    return tmp_path / "r"


def test_train_and_predict(trained, qbmvae, files, tmp_path):
    names = {p.name for p in trained.iterdir()}
    assert names == {
        "config.yaml", "versions.json", "history.csv", "model.safetensors", "metrics.json", "predictions_test.csv",
        "report.html", "curves.png", "scatter.png",
    }  # fmt: skip
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["trainable"]["head"] == 33 * 8 + 2
    assert list(metrics["test"])[:2] == ["pearson_within_drug", "spearman_within_drug"]
    assert set(metrics["test"]) == set(metrics["drug_mean"]) == set(metrics["line_mean"])

    pd.DataFrame({"smiles": ["CCCC", "CCO"], "drug": ["butane", "ethanol"]}).to_csv(tmp_path / "new.csv", index=False)
    code, _, err = qbmvae("predict", trained, "--smiles", tmp_path / "new.csv", "--out", tmp_path / "p.csv")
    assert code == 0, err
    grid = pd.read_csv(tmp_path / "p.csv")
    assert len(grid) == 40 and set(grid["drug"]) == {"butane", "ethanol"} and np.isfinite(grid["ln_ic50"]).all()

    pairs = pd.DataFrame({"smiles": ["CCO", "CCCC", "OCC"], "cosmic_id": [919, 900, 919]})
    pairs.to_csv(tmp_path / "pairs.csv", index=False)
    arguments = ("--features", files / "features.parquet", "--out", tmp_path / "q.csv", "--json", "--quiet")
    code, out, err = qbmvae("predict", trained, "--pairs", tmp_path / "pairs.csv", *arguments)
    assert code == 0 and json.loads(out)["n_predictions"] == 3 and err == ""
    found = pd.read_csv(tmp_path / "q.csv")
    assert list(found["cosmic_id"]) == [919, 900, 919] and found["ln_ic50"][0] == found["ln_ic50"][2]
    same = grid[(grid["drug"] == "ethanol") & (grid["cosmic_id"] == 919)]["ln_ic50"].item()
    assert found["ln_ic50"][0] == pytest.approx(same, rel=1e-4)


def test_a_killed_run_resumes_to_the_same_result(trained, qbmvae, tmp_path, monkeypatch):
    from qbmvae.core.training import checkpoint

    save = checkpoint.save

    def dies(state, path):
        save(state, path)
        raise KeyboardInterrupt

    arguments = ("train", "@", "--head", "quantum", "--n-layers", 1, "--epochs", 2, "--out", tmp_path / "s")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", dies)
        assert qbmvae(*arguments)[0] != 0
    assert (tmp_path / "s" / "checkpoint.pt").is_file()
    code, _, err = qbmvae("train", "--resume", tmp_path / "s")
    assert code == 0 and "epoch 2/2" in err and "epoch 1/2" not in err
    assert (trained / "model.safetensors").read_bytes() == (tmp_path / "s" / "model.safetensors").read_bytes()


def test_compare_prints_claims_and_goes_on(qbmvae, tmp_path):
    settings = (
        "heads=[twin]", "controls=[drug-mean]", "seeds=[0]", "common_test=20",
        "sizes=[{train: 30, test: 10, epochs: 1, batch_size: 16}]",
    )  # fmt: skip
    words = [w for s in settings for w in ("--set", s)]
    code, out, err = qbmvae("compare", "@", "--out", tmp_path / "c", *words)
    assert code == 0 and "[2/2] drug-mean" in err and "MSE at 30 training pairs" in out
    code, out, err = qbmvae("compare", "@", "--out", tmp_path / "c", *words, "--json")
    assert code == 0 and err == "" and len(json.loads(out)["summary"]) == 2
    assert qbmvae("report", tmp_path / "c")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "@"), "missing option --out"),
        (("train", "--out", "x"), "missing option --ic50"),
        (("train", "@", "--out", "x", "--head", "qantum"), 'Did you mean "quantum"'),
        (("train", "@", "--out", "x", "--split", "blind-tissue"), "give --lines"),
        (("train", "@", "--out", "x", "--head", "quantum", "--n-qubits", "64"), "64 qubits"),
        (("train", "@", "--out", "x", "--target", "auc"), "no column 'auc'"),
        (("train", "--resume", "x"), "no config.yaml"),
        (("predict", "x", "--smiles", "y", "--out", "z.csv"), "there is no run folder x"),
        (("report", "x"), "no finished run"),
        (("compare", "@", "--out", "x", "--set", "tables.ic50=absent.csv"), "there is no file absent.csv"),
    ],
)
def test_bad_options_are_one_line_and_code_2(qbmvae, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, err = qbmvae(*arguments)
    assert code == 2
    assert err.count("\n") == 1 and err.startswith("qbmvae: error: ") and message in err
    assert not list(tmp_path.glob("x/model*"))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"smiles": ["CCO", "C1CC"]}, "invalid SMILES 'C1CC' (the --smiles table, row 1"),
        ({"smile": ["CCO"]}, "no column 'smiles'"),
        ({"smiles": [None, "C"]}, "row 0: the SMILES is empty"),
    ],
)
def test_bad_molecules_are_named(trained, qbmvae, tmp_path, table, message):
    pd.DataFrame(table).to_csv(tmp_path / "new.csv", index=False)
    code, _, err = qbmvae("predict", trained, "--smiles", tmp_path / "new.csv", "--out", tmp_path / "p.csv")
    assert code == 2 and message in err
    pd.DataFrame({"drug_id": [1, 9], "cosmic_id": [900, 900]}).to_csv(tmp_path / "pairs.csv", index=False)
    code, _, err = qbmvae("predict", trained, "--pairs", tmp_path / "pairs.csv", "--out", tmp_path / "p.csv")
    assert code == 2 and "row 1: drug_id '9' was not in training" in err
    pd.DataFrame({"drug_id": [1], "cosmic_id": [1]}).to_csv(tmp_path / "pairs.csv", index=False)
    code, _, err = qbmvae("predict", trained, "--pairs", tmp_path / "pairs.csv", "--out", tmp_path / "p.csv")
    assert code == 2 and "row 0: line '1' has no features" in err
