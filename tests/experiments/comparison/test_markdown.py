from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.comparison.markdown import every_seed, main, number, spread, tables
from samplers.errors import InputError


@pytest.fixture
def results():
    rows = [("a", "ours", s, "integration", "Total", 0.5 + s / 10) for s in range(3)]
    rows += [("a", "pca", 0, "integration", "Total", 0.25), ("b", "ours", 0, "trajectory", "score", np.nan)]
    frame = pd.DataFrame(rows, columns=["dataset", "model", "seed", "task", "metric", "value"])
    early = frame.assign(epoch=5, value=0.01)
    return pd.concat([frame.assign(epoch=-1), early], ignore_index=True).assign(cpu_seconds=120.0)


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
