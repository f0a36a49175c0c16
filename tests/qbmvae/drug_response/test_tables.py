from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from qbmvae.drug_response import assemble, read_table
from qbmvae.drug_response.tables import keys
from samplers.errors import InputError


def test_pairs_keep_their_values(tables, data):
    responses, features, drugs = tables
    assert len(data) == 180 and data.width == 40 and data.target == "ln_ic50" and not data.notes
    truth = responses.set_index(["drug_id", "cosmic_id"])["ln_ic50"]
    for row in (0, 17, 179):
        drug, line = int(data.drug_ids[data.drug[row]]), int(data.line_ids[data.line[row]])
        assert data.values[row] == truth[drug, line]
        np.testing.assert_array_equal(data.features[data.line[row]], features.loc[line])
    assert data.drug_names[0] == drugs["drug"][0]


@pytest.mark.parametrize("suffix", ["csv", "tsv", "csv.gz", "parquet"])
def test_every_format_gives_the_same_data(tables, data, suffix, tmp_path):
    paths = []
    for name, table in zip(("ic50", "features", "drugs"), tables, strict=True):
        path = tmp_path / f"{name}.{suffix}"
        if suffix == "parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, sep="\t" if suffix == "tsv" else ",", index=name == "features")
        paths.append(path)
    found = assemble(*map(read_table, paths))
    np.testing.assert_array_equal(found.features, data.features)
    np.testing.assert_allclose(found.values, data.values)
    assert found.line_ids == data.line_ids


def test_an_embedding_is_read_by_obs_names(tmp_path):
    adata = ad.AnnData(np.zeros((3, 2), np.float32), obs=pd.DataFrame(index=["100", "101", "102"]))
    adata.obsm["X_qbmvae"] = np.arange(12.0).reshape(3, 4)
    adata.write_h5ad(tmp_path / "e.h5ad")
    table = read_table(tmp_path / "e.h5ad")
    assert list(table.index) == ["100", "101", "102"] and table.shape == (3, 4)


def test_replicates_are_averaged_on_the_logarithm(tables):
    responses, features, drugs = tables
    linear = responses.assign(ic50=np.exp(responses["ln_ic50"])).drop(columns="ln_ic50")
    twice = pd.concat([linear, linear.iloc[:1].assign(ic50=lambda t: t["ic50"] * np.e**2)])
    found = assemble(twice, features, drugs)
    assert len(found) == 180 and "averaged 1 replicate" in found.notes[0]
    np.testing.assert_allclose(found.values[0], linear["ic50"][0] * np.e)


def test_drugs_without_smiles_are_left_out_and_noted(tables):
    responses, features, drugs = tables
    found = assemble(responses, features, drugs.assign(smiles=drugs["smiles"].where(drugs["drug_id"] != 2)))
    assert len(found) == 150 and "30 pairs of 1 drugs without SMILES" in found.notes[0]


def test_keys_of_different_types_agree():
    assert list(keys([683665.0, 7.0])) == list(keys([683665, 7])) == list(keys(["683665", " 7"])) == ["683665", "7"]


def test_auc_needs_no_positive_values(tables):
    responses, features, drugs = tables
    found = assemble(responses.rename(columns={"ln_ic50": "auc"}), features, drugs)
    np.testing.assert_array_equal(found.response, found.values)


def bad_cases(responses, features, drugs):
    def changed(table, row, column, value):
        table = table.astype({column: object})
        table.iloc[row, table.columns.get_loc(column)] = value
        return table

    yield changed(responses, 5, "drug_id", 99), features, drugs, r"row 5: drug_id '99' is not in the drug table"
    yield changed(responses, 5, "cosmic_id", 9), features, drugs, r"row 5: cosmic_id '9' is not in the feature table"
    yield changed(responses, 7, "ln_ic50", np.nan), features, drugs, "row 7: ln_ic50 is nan"
    yield (
        changed(responses.rename(columns={"ln_ic50": "ic50"}).assign(ic50=1), 7, "ic50", 0),
        features,
        drugs,
        "row 7: ic50 is 0",
    )
    yield responses.rename(columns={"drug_id": "drugid"}), features, drugs, "no column 'drug_id'; nearest: 'drugid'"
    yield responses.rename(columns={"ln_ic50": "y"}), features, drugs, "needs a column of ln_ic50, ic50, auc"
    yield (
        responses,
        features.assign(g4=[0, 1, 0, 2] + 26 * [0]),
        drugs,
        "line '103', feature 'g4' is 2: features must be 0 or 1",
    )
    yield responses, features.assign(g4="a"), drugs, "column 'g4' is not numeric"
    yield responses, features.reset_index(drop=True), drugs, "the feature table has no column 'cosmic_id'"
    yield responses, pd.concat([features, features.iloc[:1]]), drugs, "line '100' is there twice"
    yield (
        responses,
        features,
        changed(drugs, 3, "smiles", "C1CC"),
        "invalid SMILES 'C1CC' .drug table, row 3, drug 'D4'",
    )
    yield responses, features, changed(drugs, 3, "drug_id", 1), "drug_id '1' is there twice with different SMILES"
    yield responses, features, drugs.assign(smiles=None), "holds no SMILES"


@pytest.mark.parametrize("case", range(13))
def test_bad_tables_are_named(tables, case):
    responses, features, drugs, message = list(bad_cases(*tables))[case]
    with pytest.raises(InputError, match=message) as caught:
        assemble(responses, features, drugs)
    assert "\n" not in str(caught.value)


def test_missing_drugs_and_lines_can_be_left_out(tables):
    responses, features, drugs = tables
    found = assemble(responses, features.iloc[1:], drugs.iloc[1:], drop_missing=True)
    assert len(found) == 5 * 29 and len(found.notes) == 2


def test_real_features_need_the_dense_encoder(tables):
    responses, features, drugs = tables
    real = features + 0.5
    with pytest.raises(InputError, match="--cell-encoder dense"):
        assemble(responses, real, drugs)
    assert assemble(responses, real, drugs, binary=False).width == 40
    with pytest.raises(InputError, match="must be finite"):
        assemble(responses, real.where(real > 1), drugs, binary=False)


@pytest.mark.parametrize(("name", "content"), [("x.parquet", b"junk"), ("x.xlsx", b""), ("x.csv", b"")])
def test_files_that_are_not_tables(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_table(tmp_path / name)
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "absent.csv")
