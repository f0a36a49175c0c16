from __future__ import annotations

import numpy as np
import pytest

from qbmvae.drug_response import assemble, read_table, split

pytestmark = pytest.mark.shared_data


def test_the_public_tables_are_read_whole(shared_data):
    gdsc = shared_data / "gdsc"
    data = assemble(
        read_table(gdsc / "ic50_long.parquet"),
        read_table(gdsc / "genomic_features_binary_677.parquet"),
        read_table(gdsc / "drugs.csv"),
        lines=read_table(gdsc / "cell_lines.csv"),
    )
    assert len(data) == 199_801 and data.features.shape == (988, 677)
    assert data.notes == ["left out 13986 pairs of 17 drugs without SMILES"]
    assert len(data.molecules) == 248 and len({m.smiles for m in data.molecules.molecules}) == 232
    assert 0 < data.response.min() and data.response.max() < 1
    parts = split(data, "blind-tissue")
    train, test = (set(data.tissues[data.line[rows]]) for rows in (parts.train, parts.test))
    assert not train & test and np.isfinite(data.values).all()
