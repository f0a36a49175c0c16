from __future__ import annotations

import json
import re

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
    # the first sentence says how the model did on both data sets, behind as plainly as ahead
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    bio = {title: round(s["integration"]["Bio conservation"], 3) for title, s in metrics["pbmc68k"].items()}
    answer = re.search(r"it has a bio conservation of ([^<]*)", page).group(1)
    parts = dict(re.findall(r"(ahead of|level with|behind) (.*?)(?=, (?:ahead|level|behind)|\.$)", answer))
    for title in ("scVI", "PCA"):
        place = "ahead of" if bio["QBM-VAE"] > bio[title] else "behind" if bio["QBM-VAE"] < bio[title] else "level with"
        assert f"{title} {bio[title]:.3f}" in parts[place]
    assert 0 < metrics["synthetic"]["QBM-VAE"]["integration"]["Total"] < 1
    assert len(pd.read_parquet(tmp_path / "demo" / "embeddings" / "pbmc68k-qbmvae.parquet")) == 700
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert main(["--out", str(tmp_path / "mine")]) == 2
    assert (tmp_path / "mine" / "thesis.txt").exists() and "something else" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["demo", "mine"]
