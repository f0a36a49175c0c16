from __future__ import annotations

import anndata as ad
import pandas as pd
import pytest

from qbmvae.cellsim import cellchatdb_pairs, communication, simulate
from samplers.errors import InputError


def test_pairs_of_complexes_whose_genes_are_measured(tmp_path):
    types = {"A": {"L1": 0.8, "L2": 0.5}, "B": {"R1": 0.6, "R2": 0.7}}
    data = simulate({"cell_types": types, "edges": []}, n_cells=50, seed=0)
    table = pd.DataFrame(
        {"ligand.symbol": ["L1", "L2", "L1", None], "receptor.symbol": ["R2, R1", "R9", "R2, R1", "R1"]}
    )
    table.to_csv(tmp_path / "db.csv")
    pairs = cellchatdb_pairs(tmp_path / "db.csv", data, senders=["A"])
    assert pairs == [(["L1"], ["R2", "R1"], "A", "A"), (["L1"], ["R2", "R1"], "A", "B")]
    found = communication(data, pairs, n_permutations=9)
    assert found["probability"][0] == 0 < found["probability"][1]
    table.drop(columns="ligand.symbol").to_csv(tmp_path / "bad.csv")
    with pytest.raises(InputError, match="no column 'ligand.symbol'"):
        cellchatdb_pairs(tmp_path / "bad.csv", data)


def test_the_published_table(shared_data):
    real = ad.read_h5ad(shared_data / "integration" / "kang_pbmc_ifnb_1975.h5ad")[::5].copy()
    path = shared_data / "ligand_receptor" / "interaction_input_CellChatDB_v2_human.csv.gz"
    pairs = cellchatdb_pairs(path, real, senders=["CD14+Mono"], receivers=["CD4T"])
    assert len(pairs) > 50
    found = communication(real, pairs, n_permutations=0)
    assert found["probability"].between(0, 1).all() and (found["probability"] > 0).any()
