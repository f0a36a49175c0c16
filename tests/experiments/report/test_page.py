from __future__ import annotations

import json
import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from experiments.report.explorer import MAX_CATEGORIES, explorer, some_cells, variable_genes
from experiments.report.page import page
from experiments.report.tables import table
from experiments.report.values import Spread, number
from experiments.tasks.metrics import find


def bold(made):
    return {
        made["columns"][j]["name"]: [row[0]["text"] for row in made["rows"] if row[j]["best"]]
        for j in range(1, len(made["columns"]))
    }


def test_numbers_read_as_a_reader_wants_them():
    shown = [number(v) for v in (0.12345, 1234, 1234.0, 1234.56, float("nan"), None, "x", 0.00012, True, -1171.5)]
    assert shown == ["0.123", "1,234", "1,234", "1,234.6", "–", "–", "x", "1.2e-04", "yes", "-1,171.5"]
    assert str(Spread.of([0.4, 0.6])) == "0.500 ± 0.141" and str(Spread.of([0.5])) == "0.500"
    assert str(Spread.of([0.5, 0.5])) == "0.500" and str(Spread.of([])) == "–"
    # with decimals asked for, nothing is written with an exponent
    assert number(0.00012, 3) == "0.000" and Spread.around(0.5, 0.00014).text(3) == "0.500 ± 0.000"
    assert str(Spread(0.99, 0.97, 1.0)) == "0.990 (0.970 to 1.000)"


def test_values_with_a_range_compete_and_what_overlaps_the_best_is_marked():
    frame = pd.DataFrame(
        {
            "a": [Spread.around(0.522, 0), Spread.around(0.585, 0.002), Spread.around(0.584, 0.0), Spread.of([])],
            "b": [1.0, 2.0, 3.0, float("nan")],
        },
        index=pd.Index(["PCA", "Harmony", "scVI", "none"], name="model"),
    )
    assert bold(table(frame, best="max")) == {"a": ["Harmony", "scVI"], "b": ["scVI"]}
    assert bold(table(frame, best={"a": "min"})) == {"a": ["PCA"], "b": []}
    assert bold(table(frame, best=None)) == {"a": [], "b": []}
    assert "range" in table(frame, best="max")["note"] and not table(frame, best=None)["note"]
    # where all are equal, none is best
    assert bold(table(pd.DataFrame({"a": [0.5, 0.5]}), best="max")) == {"a": []}


def test_a_column_of_a_metric_knows_its_direction_its_label_and_its_meaning():
    frame = pd.DataFrame({"score": [0.9, 0.8], "unreachable": [0.3, 0.1], "cells": [30.0, 4000.0]}, index=["a", "b"])
    made = table(frame, task="trajectory")
    label, unreachable = find("trajectory", "score").label, find("trajectory", "unreachable").label
    assert bold(made) == {label: ["a"], unreachable: ["b"], "cells": []}
    assert made["columns"][1]["explain"] == find("trajectory", "score").explain
    # counts are integers although pandas keeps them as floats
    assert [row[3]["text"] for row in made["rows"]] == ["30", "4,000"]
    rows = table(frame[["score"]].T, task="trajectory")["rows"]
    assert rows[0][0]["text"] == label and rows[0][0]["explain"] == find("trajectory", "score").explain
    biased = table(pd.DataFrame({"iLISI": [0.1]}), task="integration")["columns"][1]["explain"]
    assert "composition of the batches lowers" in biased


def test_the_page_leaves_out_empty_sections_and_escapes():
    made = table(pd.DataFrame({"x": [1, 2]}, index=["<b>", "c"]))
    html = page("T <i>", "s", [{"title": "empty", "tables": []}, {"title": "full", "tables": [made]}], "The answer.")
    words = page("T", "s", [{"title": "t", "texts": ["call `a < b`"], "list": ["`c`"]}])
    assert (
        "<code>a &lt; b</code>" in words
        and "<code>c</code>" in words
        and "`" not in words.split("<main>")[1].split("<script>")[0]
    )
    assert "empty" not in html and "full" in html and "&lt;b&gt;" in html and "T &lt;i&gt;" in html
    assert html.index("The answer.") < html.index("full")
    # the library is there only where something needs it
    assert "plotly" not in html and not re.search(r'(src|href)="(?!data:|#)', html)


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {
            "type": pd.Categorical(rng.choice(["a", "b</script>"], 40)),
            "age": rng.normal(size=40),
            "barcode": [f"c{i}" for i in range(40)],
            "empty": np.nan,
            "flag": rng.choice([True, False], 40),
        },
        index=[f"cell{i}" for i in range(40)],
    )
    obs.loc["cell3", "age"] = np.nan
    counts = rng.poisson(3.0, size=(40, 6)).astype(np.float32)
    counts[:, 4] *= rng.choice([0, 9], 40)
    return ad.AnnData(counts, obs=obs)


def test_an_explorer_holds_every_column_that_can_colour(cells, monkeypatch):
    monkeypatch.setattr("experiments.report.explorer.MAX_CATEGORIES", 20)
    assert MAX_CATEGORIES == 60
    genes = variable_genes(cells, n_genes=2)
    made = explorer({"one": np.arange(80.0).reshape(40, 2)}, cells.obs, genes, ["age", None, "nothing"], "forty cells")
    data = json.loads(made["json"])
    assert list(data["obs"]) == ["age", "type", "flag"] and data["names"][:2] == ["cell0", "cell1"]
    assert data["obs"]["age"]["values"][3] is None and data["planes"]["one"][1][:2] == [1.0, 3.0]
    assert next(iter(data["genes"])) == "4" and len(data["genes"]["4"]) == 40
    html = page("t", "s", [{"title": "x", "explorer": [made]}])
    # a name cannot end the script that holds the data
    assert "b</script>" not in html and html.count("plotly.js (basic") == 1
    assert html.count("data:image/png") == 1


def test_genes_are_chosen_as_scanpy_would_normalise_them(cells):
    import scanpy as sc

    other = cells.copy()
    sc.pp.normalize_total(other, target_sum=1e4)
    sc.pp.log1p(other)
    top = np.argsort(-np.asarray(other.X).var(axis=0))[:3]
    found = variable_genes(cells, n_genes=3)
    assert list(found) == [str(cells.var_names[i]) for i in top]
    np.testing.assert_allclose(found.to_numpy(), np.asarray(other.X)[:, top], rtol=1e-5)
    assert len(some_cells(10_000, 100)) == 100
