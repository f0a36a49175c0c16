from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from qbmvae.perturbation import Features, read_features
from qbmvae.perturbation.features import gene_embeddings, one_hot
from samplers.errors import InputError

TABLE = pd.DataFrame(np.arange(12.0).reshape(3, 4), index=["STAT1", "JAK2", "HLA-A"])


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "npz", "pt"])
def test_files_of_vectors(tmp_path, suffix):
    path = tmp_path / f"features.{suffix}"
    vectors = {name: TABLE.loc[name].to_numpy() for name in TABLE.index}
    if suffix == "csv":
        TABLE.to_csv(path)
    elif suffix == "tsv":
        TABLE.to_csv(path, sep="\t")
    elif suffix == "parquet":
        TABLE.rename(columns=str).to_parquet(path)
    elif suffix == "npz":
        np.savez(path, **vectors)
    else:
        torch.save({name: torch.tensor(v) for name, v in vectors.items()}, path)
    features = read_features(path)
    np.testing.assert_array_equal(features.lookup(["JAK2", "STAT1+HLA-A"]), [[4, 5, 6, 7], [8, 10, 12, 14]])


def test_unknown_perturbations_are_named(tmp_path):
    features = Features(("STAT1", "JAK2"), np.eye(2, dtype=np.float32), "file")
    with pytest.raises(InputError, match=r"'JAK1' has no features.*nearest: 'JAK2'"):
        features.lookup(["JAK1"])
    with pytest.raises(InputError, match=r"'STAT1\+X' has no features: 'X'"):
        features.lookup(["STAT1+X"])
    assert features.has("STAT1+JAK2") and not features.has("X")
    bad = tmp_path / "bad.csv"
    pd.DataFrame([[1, "a"]], index=["x"]).to_csv(bad)
    with pytest.raises(InputError, match="not numeric"):
        read_features(bad)
    TABLE.iloc[[0, 0]].to_csv(bad)
    with pytest.raises(InputError, match="'STAT1' occurs twice"):
        read_features(bad)
    with pytest.raises(InputError, match="no file"):
        read_features(tmp_path / "none.csv")


def test_one_hot_of_combinations():
    features = one_hot(["A", "A+B"])
    np.testing.assert_array_equal(features.lookup(["A+B", "B"]), [[1, 1], [0, 1]])
    with pytest.raises(InputError, match="one-hot features know only"):
        features.lookup(["C"])


def test_genes_that_vary_together_have_alike_embeddings():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(200, 2))
    x = np.abs(factor @ np.array([[1, 1, 0, 0], [0, 0, 1, 1]]) + 0.1 * rng.normal(size=(200, 4)))
    values = gene_embeddings(x, ["a", "b", "c", "d"], 2).lookup(["a", "b", "c"])
    assert np.linalg.norm(values[0] - values[1]) < 0.5 * np.linalg.norm(values[0] - values[2])
