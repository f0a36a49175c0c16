from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from experiments.drug_response.claims import METRICS, _row, claims, differences, interval, reach, roughness, summary
from experiments.drug_response.report import as_markdown


def results(reduction: float, seeds: int = 5) -> pd.DataFrame:
    """Twin and quantum, quantum's MSE lower by a share, with a little noise over seeds."""
    rows = []
    for seed in range(seeds):
        for n in (50, 5000):
            for name in ("quantum", "twin"):
                scale = (1 - reduction * (1.5 if n == 50 else 1)) if name == "quantum" else 1
                error = scale * (0.01 + 1e-4 * seed) * (1 + 1e-3 * seed)
                curve = [4 * error, 2 * error, 1.5 * error, 1.2 * error, error]
                rows.append(
                    {
                        "split": "random",
                        "name": name,
                        "n_train": n,
                        "seed": seed,
                        "seconds": 1.0,
                        "mse": error,
                        "last_mse": error,
                    }
                    | dict.fromkeys(("pearson", "spearman", "concordance", "pearson_within_drug"), 0.5)
                    | {"history": {"mse_test": curve}}
                )
    return pd.DataFrame(rows)


def verdicts(table: pd.DataFrame) -> list[str]:
    return [v.split(":")[0] for v in table["verdict"]]


def test_a_planted_advantage_is_found():
    table = claims(results(0.3))
    assert table["measured"][0] == pytest.approx(30)
    assert verdicts(table)[:4] == ["holds", "holds", "holds", "holds"]
    found = differences(results(0.3))
    assert list(found["against"]) == ["twin", "twin"]
    np.testing.assert_allclose(found["lower_by_percent"], [45, 30])


def test_a_small_advantage_does_not_carry_the_claim():
    assert verdicts(claims(results(0.05)))[0] == "does not hold"


def test_one_seed_leaves_every_claim_open():
    assert set(verdicts(claims(results(0.3, seeds=1)))) == {"open"}


def test_missing_models_leave_claims_open():
    only = results(0.3)
    table = claims(only[only["name"] == "quantum"])
    assert set(verdicts(table)) == {"open"} and len(table) == 5


def test_interval_is_students():
    mean, low, high = interval([1.0, 2.0, 3.0])
    assert mean == 2 and high - mean == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4) and low == 4 - high
    assert interval([1.0])[0] == 1 and math.isnan(interval([1.0])[1]) and math.isnan(interval([])[0])


def test_curves():
    assert reach([3, 2, 1], 2) == 2 and reach([3, 2], 1) == math.inf
    assert roughness([9, 1, 1 / 2, 1 / 4, 1 / 8]) == pytest.approx(0)
    assert roughness([9, 1, 2, 1, 2]) > 1


def test_summary_is_sorted_by_error():
    table = summary(results(0.3))
    assert list(table["model"]) == ["quantum", "twin"] * 2 and list(table["n_train"]) == [50, 50, 5000, 5000]


def test_headings_are_words():
    columns = [
        *METRICS,
        "n_train",
        "model",
        "lower_by_percent",
        "pearson_within_drug_gain_low",
        "mse_high",
        "cpu_seconds",
    ]
    printed = as_markdown(pd.DataFrame([dict.fromkeys(columns, 1.0)]))
    assert "_" not in printed and "training pairs" in printed and "gain, Pearson within drugs, low" in printed


@pytest.mark.parametrize(
    ("values", "above", "below", "verdict"),
    [
        ([2.0, 2.1, 2.2], 1, None, "holds"),
        ([0.0, 0.1, 0.2], 1, None, "does not hold"),
        ([0.0, 1.0, 2.0], 1, None, "open: the interval contains the threshold"),
        ([0.0, 0.1, 0.2], None, 1, "holds"),
        ([2.0, 2.1, 2.2], None, 1, "does not hold"),
        ([0.0, 1.0, 2.0], None, 1, "open: the interval contains the threshold"),
        ([2.0], 1, None, "open: fewer than two values"),
    ],
)
def test_verdicts_of_both_directions(values, above, below, verdict):
    assert _row("", "", values, above=above, below=below)["verdict"] == verdict
