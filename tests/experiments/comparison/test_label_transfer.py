from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from experiments.comparison import label_transfer as transfer
from experiments.comparison import priors
from experiments.comparison.grid import read_rows
from experiments.data.synthetic import synthetic
from samplers import InputError


def test_some_labels_of_each_type_are_shown():
    label = np.repeat(["a", "b", "c"], [100, 8, 1])
    column = transfer.hidden_column(label, 20, seed=0)
    shown = pd.Series(column[column != transfer.UNKNOWN]).value_counts()
    assert dict(shown) == {"a": 20, "b": 4, "c": 1}
    assert (column[column != transfer.UNKNOWN] == label[column != transfer.UNKNOWN]).all()


def test_scores_of_a_known_case():
    p = pd.DataFrame({"a": [0.9, 0.2, 0.6, 0.4], "b": [0.1, 0.8, 0.4, 0.6]})
    found = transfer.score(p, np.array(["a", "b", "b", "b"]))
    assert found["nll"] == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.6]).mean())
    # bins .8, .6 and .9 hold one, two and one cell
    assert found["ece"] == pytest.approx(0.1 / 4 + 0.2 / 4 + abs(0.6 - 0.5) / 2)
    assert found["f1"] == pytest.approx((2 / 3 + 0.8) / 2)


def test_labels_of_other_batches_alone_are_shown():
    label, batch = np.repeat(["a", "b"], 50), np.tile(["x", "y"], 50)
    column = transfer.hidden_column(label, 5, 0, allowed=batch == "x")
    assert set(batch[column != transfer.UNKNOWN]) == {"x"}
    # a type of which no cell could be shown has no probability, and costs the most
    found = transfer.score(pd.DataFrame({"a": [1.0, 1.0]}), np.array(["a", "b"]))
    assert found["nll"] == pytest.approx(-np.log(1e-6) / 2)


def test_every_method_labels_the_hidden_cells(tmp_path, monkeypatch, capsys):
    path, out = tmp_path / "cells.h5ad", tmp_path / "labels"
    synthetic(n_cells=180, n_genes=60, n_types=2, seed=0).write_h5ad(path)
    words = ["label_transfer", *f"{path} --max-epochs 3 --n-cells 150 --out {out} --seeds 0 1".split()]
    words += ["--cases", "5 a type", "20, other batches"]
    monkeypatch.setattr(sys, "argv", words)
    transfer.main()
    rows = read_rows(out)
    methods = {row["method"] for row in rows}
    assert methods == {"machine", "softmax", "knn", "kNN on PCA", "logistic on PCA", "XGBoost on PCA"}
    assert {row["labels"] for row in rows} == {"5 a type", "20, other batches"}
    assert len(rows) == 2 * 2 * 6
    assert all(0 <= row["f1"] <= 1 and np.isfinite(row["nll"]) and 0 <= row["ece"] <= 1 for row in rows)
    shown = capsys.readouterr().out
    assert "| machine | 2 |" in shown
    assert "- softmax: 5 a type: " in shown
    # the same command has nothing left to do; another number of cells is computed anew
    asked = []
    monkeypatch.setattr(transfer, "run", lambda *a: asked.append(a) or rows[:1])
    transfer.main()
    assert not asked
    monkeypatch.setattr(sys, "argv", [*words, "--n-cells", "100"])
    transfer.main()
    assert [a[1] for a in asked] == [0, 1]


def test_what_went_wrong_is_told_where_no_fit_is_there(tmp_path, monkeypatch):
    path = tmp_path / "cells.h5ad"
    synthetic(n_cells=60, n_genes=30, n_types=2, seed=0).write_h5ad(path)
    for words, told in (
        ([str(path), "--label-key", "celltype"], "cell_type"),
        ([str(tmp_path / "nothing.h5ad")], "no file"),
    ):
        monkeypatch.setattr(sys, "argv", ["label_transfer", *words, "--out", str(tmp_path / told)])
        with pytest.raises(InputError, match=told):
            transfer.main()
    assert transfer.table([]) == "" and not priors.table([]).strip()
