from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from experiments.comparison.report import _answers, verdict_table, verdicts_tables


@pytest.fixture
def verdict():
    values = {"qbmvae": (0.8, "abcde"), "scvi": (0.75, "abcd"), "harmony": (0.6, "abcde"), "pca": (0.85, "e")}
    rows = [(d, m, s, v + s / 100) for m, (v, sets) in values.items() for d in sets for s in range(3)]
    results = pd.DataFrame(rows, columns=["dataset", "model", "seed", "value"]).assign(
        task="integration", metric="Total", epoch=-1, uses_labels=False, deterministic=False
    )
    models = [SimpleNamespace(name=m, method=m) for m in values]
    return verdict_table(results, SimpleNamespace(ours="qbmvae", models=models))


def test_leaving_a_strong_model_out_of_one_set_does_not_hide_it(verdict):
    assert [(v["best"], v["sets"], v["claim"]) for v in verdict] == [("scvi", 4, "holds")]
    assert verdict[0]["difference"] == pytest.approx(0.05)


def test_a_model_that_ran_on_few_sets_and_comes_closer_is_named(verdict):
    assert verdict[0]["closer"] == {"pca": (pytest.approx(-0.05), 1)}
    first = _answers(verdict, "qbmvae")[0]
    assert (
        "that ran on nearly all of them, scvi" in first
        and "Closer on the sets where they ran: pca -0.050 (1)." in first
    )
    assert "pca -0.050 (1)" in str(verdicts_tables(verdict))
