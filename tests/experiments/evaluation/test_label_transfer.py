from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.data.synthetic import synthetic
from experiments.evaluation import label_transfer as transfer


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


def test_every_method_labels_the_hidden_cells(tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "COUNTS", (5,))
    synthetic(n_cells=150, n_genes=60, n_types=2, seed=0).write_h5ad(tmp_path / "cells.h5ad")
    rows = transfer.run(str(tmp_path / "cells.h5ad"), 0, "batch", "cell_type", epochs=3, published=False)
    methods = {row["method"] for row in rows}
    assert methods == {"machine", "softmax", "knn", "kNN on PCA", "logistic on PCA", "XGBoost on PCA"}
    assert len(rows) == 6
    assert all(0 <= row["f1"] <= 1 and np.isfinite(row["nll"]) and 0 <= row["ece"] <= 1 for row in rows)
    table = transfer.table(rows)
    assert "| machine |" in table
    assert "cells, 1 seeds" in table
