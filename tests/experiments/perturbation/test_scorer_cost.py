from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from experiments.perturbation import scorer_cost


def test_cells_are_counts_of_the_density_and_effects_that_were_asked():
    one, two = (scorer_cost.cells(8, 400, 500, 300, seed) for seed in (0, 1))
    assert one.shape == (3700, 300) and one.obs["target_gene"].value_counts()["non-targeting"] == 500
    assert one.obs_names.is_unique and one.var_names.is_unique
    assert (one.X.data == np.round(one.X.data)).all() and one.X.data.min() == 1
    assert (one.X != two.X).nnz and abs(one.X.nnz - two.X.nnz) < 0.03 * one.X.nnz
    # levels scatter over genes, so that fewer entries than DENSITY are above zero
    assert 0.05 < one.X.nnz / np.prod(one.shape) < scorer_cost.DENSITY

    def folds(adata):
        """Log ratios of each perturbation's mean to the controls', genes that show enough of them."""
        mean = {
            k: np.ravel(adata[(adata.obs["target_gene"] == k).to_numpy()].X.mean(0)) for k in ("non-targeting", *names)
        }
        return np.array([np.log(mean[k][shown] / mean["non-targeting"][shown]) for k in names])

    names, shown = [f"P{k}" for k in range(8)], np.ravel(one.X.mean(0)) > 0.2
    first, second = folds(one), folds(two)
    moved = np.abs(first) > 0.5
    # a factor of e^.7 or its inverse (less where it saturates), the same in the other draw
    assert 3 <= moved.sum() < 0.1 * moved.size
    assert (np.sign(first[moved]) * second[moved]).mean() == pytest.approx(scorer_cost.FOLD, abs=0.15)
    assert abs(second[~moved].mean()) < 0.05


def test_the_measurement_holds_sizes_scores_time_and_memory(tmp_path, monkeypatch, capsys):
    sizes = ["--perturbations", "3", "--cells", "20", "--controls", "40", "--genes", "60"]
    monkeypatch.setattr(sys, "argv", ["scorer_cost", *sizes, "--out", str(tmp_path / "cost.json")])
    scorer_cost.main()
    found = json.loads((tmp_path / "cost.json").read_text())
    assert (found["perturbations"], found["cells"], found["genes"]) == (3, 100, 60)
    assert found["cpu_seconds"] > 0 and found["peak_gib"] > 0 and 0 < found["stored_gib"] < 0.001
    # prediction and observation share their effects: neither a perfect score nor none
    assert 0.3 <= found["pds_cosine"] <= 1
    assert "pds_cosine" in capsys.readouterr().out
