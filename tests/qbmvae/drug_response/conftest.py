from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from qbmvae.drug_response import DrugData, assemble

SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "CCO",
    "c1ccc2ccccc2c1",
    "[Na+].[Cl-]",
    "C#Cc1cccc(Nc2ncnc3cc(OCCOC)c(OCCOC)cc23)c1",
]


@pytest.fixture(scope="session")
def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Responses (complete 6 x 30), features (30 x 40), drugs; ln IC50 depends on drug and one feature."""
    rng = np.random.default_rng(0)
    drugs = pd.DataFrame({"drug_id": range(1, 7), "drug": [f"D{k}" for k in range(1, 7)], "smiles": SMILES})
    lines = pd.Index(range(100, 130), name="cosmic_id")
    features = pd.DataFrame(rng.integers(0, 2, (30, 40)), index=lines, columns=[f"g{k}" for k in range(40)])
    responses = pd.DataFrame([(d, c) for d in drugs.drug_id for c in lines], columns=["drug_id", "cosmic_id"])
    effect = responses["drug_id"].map(dict(zip(range(1, 7), (-4, -2, 0, 2, 4, 6), strict=True)))
    responses["ln_ic50"] = effect + 2.0 * features.loc[responses["cosmic_id"], "g0"].to_numpy()
    return responses, features, drugs


@pytest.fixture(scope="session")
def data(tables) -> DrugData:
    return assemble(*tables)
