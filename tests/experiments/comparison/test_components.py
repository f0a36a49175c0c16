from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from experiments.comparison.components import Settings, cells_entry, run
from samplers.errors import InputError


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    kind, on = rng.integers(0, 3, 240), rng.integers(0, 2, 240)
    rate = np.ones((240, 30))
    rate[np.arange(240), kind] = 6
    rate[:, 10:15] += 5 * on[:, None]
    obs = pd.DataFrame({"cell_type": [f"t{k}" for k in kind], "condition": np.where(on, "stimulated", "control")})
    obs.index = [f"c{i}" for i in range(240)]
    ad.AnnData(sp.csr_matrix(rng.poisson(rate).astype(np.float32)), obs=obs).write_h5ad(folder / "cells.h5ad")
    tables = folder / "gdsc"
    tables.mkdir()
    smiles = ["CCO", "c1ccccc1", "CC(=O)O", "CCN", "C1CCCCC1", "CC(=O)Oc1ccccc1C(=O)O"]
    pd.DataFrame({"drug_id": range(6), "smiles": smiles}).to_csv(tables / "drugs.csv", index=False)
    lines = pd.Index(range(20), name="cosmic_id")
    features = pd.DataFrame(rng.integers(0, 2, (20, 12)), index=lines, columns=[f"g{k}" for k in range(12)])
    features.to_parquet(tables / "genomic_features_binary_677.parquet")
    pairs = pd.DataFrame([(d, c) for d in range(6) for c in lines], columns=["drug_id", "cosmic_id"])
    pairs["ln_ic50"] = pairs["drug_id"] + rng.normal(0, 0.5, len(pairs))
    pairs.to_parquet(tables / "ic50_long.parquet")
    return folder


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings(
        cells="cells.h5ad", types=("t0", "t1"), n_bits=4, n_genes=30, epochs=2, seconds=0.05, pairs=45, drug_epochs=1
    )


def test_every_form_has_every_score_and_a_second_call_computes_nothing(root, settings, tmp_path):
    said: list[str] = []
    rows = run(settings, str(root), 1, tmp_path, said.append)
    table = (tmp_path / "table.md").read_text()
    forms = rows.set_index("form")
    for form in ("circuit", "machine", "perceptron"):
        assert forms.loc[form, ["generation", "perturbation", "within_drug", "mse"]].notna().all()
    # one mean a bit; four fields, six couplings, and four shifts by each of three types and the stimulation
    assert forms.loc["nothing", "generation_parameters"] == 4
    assert forms.loc["machine", "perturbation_parameters"] == 4 + 6 + 16
    assert 0 <= forms.loc["own", "generation"] <= 1 and np.isnan(forms.loc["own", "mse"])
    assert forms.loc["unchanged", "perturbation"] > 0.5
    assert table.count("\n| ") == 7 and "Boltzmann machine" in table
    run(settings, str(root), 1, tmp_path, said.append)
    assert said[-1] == "5 fits, 5 done before"


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"type_key": "cluster"}, "cluster"), ({"types": ("t9",)}, "t9"), ({"stimulated": "on"}, "on")],
)
def test_wrong_columns_types_and_conditions_are_named(root, settings, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        cells_entry(tmp_path, replace(settings, **changes), str(root), 0)
