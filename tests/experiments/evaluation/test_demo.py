from __future__ import annotations

import json

import pandas as pd

from experiments.demo import main


def test_the_demo_leaves_a_report_and_replaces_only_its_own_folder(tmp_path, capsys):
    arguments = ["--out", str(tmp_path / "demo"), "--max-epochs", "2", "--n-cells", "200"]
    assert main(arguments) == 0
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "QBM-VAE" in printed.out and "scVI" in printed.out
    page = (tmp_path / "demo" / "report.html").read_text()
    assert page.count("data:image/png") >= 6 and 'src="http' not in page
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    assert 0 < metrics["synthetic"]["QBM-VAE"]["integration"]["Total"] < 1
    assert len(pd.read_parquet(tmp_path / "demo" / "embeddings" / "pbmc68k-qbmvae.parquet")) == 700
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert main(["--out", str(tmp_path / "mine")]) == 2
    assert (tmp_path / "mine" / "thesis.txt").exists() and "something else" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo", "mine"]
