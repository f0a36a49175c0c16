from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SMILES = ["CCO", "c1ccccc1", "CC(=O)O", "CCN", "C1CCCCC1", "CC(=O)Oc1ccccc1C(=O)O"]


@pytest.fixture(scope="session")
def files(tmp_path_factory) -> dict[str, str]:
    """Paths of ic50 (6 drugs x 30 lines), features (width 20), drugs and lines."""
    folder: Path = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(1)
    lines = pd.Index(range(900, 930), name="cosmic_id")
    features = pd.DataFrame(rng.integers(0, 2, (30, 20)), index=lines, columns=[f"g{k}" for k in range(20)])
    drugs = pd.DataFrame({"drug_id": range(1, 7), "drug": [f"D{k}" for k in range(1, 7)], "smiles": SMILES})
    responses = pd.DataFrame([(d, c) for d in drugs.drug_id for c in lines], columns=["drug_id", "cosmic_id"])
    responses["ln_ic50"] = responses["drug_id"] + rng.normal(0, 0.5, len(responses))
    paths = {name: str(folder / f"{name}.csv") for name in ("ic50", "drugs", "lines")}
    paths["features"] = str(folder / "features.parquet")
    responses.to_csv(paths["ic50"], index=False)
    drugs.to_csv(paths["drugs"], index=False)
    features.to_parquet(paths["features"])
    pd.DataFrame({"cosmic_id": lines, "tissue": [f"t{k % 4}" for k in range(30)]}).to_csv(paths["lines"], index=False)
    return paths
