from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.comparison.markdown import every_seed, main, number, spread, stand_in, tables
from samplers.errors import InputError


@pytest.fixture
def results():
    rows = [("a", "ours", s, "integration", "Total", 0.5 + s / 10) for s in range(3)]
    rows += [("a", "pca", 0, "integration", "Total", 0.25), ("b", "ours", 0, "trajectory", "score", np.nan)]
    frame = pd.DataFrame(rows, columns=["dataset", "model", "seed", "task", "metric", "value"])
    early = frame.assign(epoch=5, value=0.01)
    return pd.concat([frame.assign(epoch=-1), early], ignore_index=True).assign(cpu_seconds=120.0, deterministic=False)


def test_numbers_are_short():
    assert [number(v) for v in (0.12345, -0.5, 1.0, 468.66, float("nan"), 0)] == [
        ".123", "-.500", "1.000", "468.7", "", ".000"
    ]  # fmt: skip
    assert spread(pd.Series([0.5, 0.6, 0.7, np.nan])) == ".600 ± .100"
    assert spread(pd.Series([0.5])) == ".500" and spread(pd.Series([], dtype=float)) == ""


def test_tables_show_final_scores_by_set_and_every_seed(results, tmp_path, capsys):
    text = tables(results)
    assert "| ours | .600 ± .100 |" in text and "| pca | .250 |" in text and "Trajectory" not in text
    assert "| ours | 120.0 ± .000 | 120.0 |" in text
    assert [line.split(" | ")[:4] for line in every_seed(results).splitlines()[2:4]] == [
        ["| a", "ours", "0", ".500"], ["| a", "ours", "1", ".600"]
    ]  # fmt: skip
    results.to_parquet(tmp_path / "results.parquet")
    main([str(tmp_path), "--seeds"])
    assert capsys.readouterr().out.count("\n") == 7
    with pytest.raises(InputError, match="compare"):
        main([str(tmp_path / "none")])


def test_our_model_minus_the_others_is_paired_by_seed_with_an_interval():
    from scipy.stats import t

    ours, other = [0.5, 0.6, 0.8], [0.4, 0.45, 0.5]
    rows = [("a", m, s, v) for m, values in (("ours", ours), ("scvi", other)) for s, v in enumerate(values)]
    rows += [("b", m, s, v + 0.1 * s) for m, v in (("ours", 0.5), ("zinb", 0.3)) for s in range(3)]
    frame = pd.DataFrame(rows, columns=["dataset", "model", "seed", "value"]).assign(
        task="integration", metric="Total", epoch=-1, cpu_seconds=1.0, deterministic=False
    )
    joined = stand_in(frame, "scvi", "zinb")
    assert set(joined.model) == {"ours", "scvi"} and set(frame.model) == {"ours", "scvi", "zinb"}
    # another model does not replace what was run
    assert stand_in(joined.assign(model=frame.model), "ours", "zinb").model.tolist() == frame.model.tolist()
    gaps = np.subtract(ours, other)
    half = t.ppf(0.975, 2) * gaps.std(ddof=1) / np.sqrt(3)
    text = tables(joined, "ours")
    assert f"| scvi | {number(gaps.mean())} ± {number(half)} | .200 ± .000 | {number((gaps.mean() + 0.2) / 2)}" in text
    # over one set less a mean would not compare
    assert "| zinb |  | .400 ± .100 |  |" in tables(frame, "ours")
    with pytest.raises(InputError, match="no model 'none'"):
        stand_in(frame, "none", "zinb")
