from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qbmvae.data import align
from samplers import InputError

MODEL = [f"ENSG{i:04d}" for i in range(20)]


@given(st.permutations(range(26)))
def test_any_order_of_any_superset_is_found_by_name(order):
    theirs = np.asarray([*MODEL, *(f"X{i}" for i in range(6))])[list(order)]
    columns = align.genes(theirs, MODEL)
    assert list(theirs[columns]) == MODEL
    np.testing.assert_array_equal(align.genes(pd.CategoricalIndex(theirs), MODEL), columns)
    np.testing.assert_array_equal(align.genes([t.encode() for t in theirs], MODEL), columns)


def test_names_that_are_numbers():
    np.testing.assert_array_equal(align.genes(pd.Index([3, 1, 2]), ["1", "2"]), [1, 2])
    np.testing.assert_array_equal(align.genes(["1", "2"], np.array([1, 2])), [0, 1])


def test_few_missing_genes_may_be_allowed():
    columns = align.genes(MODEL[:17], MODEL, most_missing=0.2)
    np.testing.assert_array_equal(columns, [*range(17), -1, -1, -1])
    with pytest.raises(InputError, match=r"5 of the model's 20 genes \(25%\) are missing: 'ENSG0015'.*up to 20%"):
        align.genes(MODEL[:15], MODEL, most_missing=0.2)
    with pytest.raises(InputError, match=r"1 of the model's 20 genes \(5%\).*train on the shared"):
        align.genes(MODEL[:19], MODEL)


@pytest.mark.parametrize(
    ("theirs", "wanted", "words"),
    [
        ([f"{g}.7" for g in MODEL], MODEL, "20 of them match without version suffixes"),
        (MODEL, [f"{g}.12" for g in MODEL], "20 of them match without version suffixes"),
        ([g.capitalize() for g in MODEL], MODEL, "20 of them match in capitals"),
        ([f"{g.lower()}.1" for g in MODEL], MODEL, "20 of them match without version suffixes and in capitals"),
        ([f"x{i}" for i in range(20)], MODEL, "these data name their genes 'x0', 'x1', 'x2', ...: rename"),
    ],
)
def test_hints_for_spellings(theirs, wanted, words):
    with pytest.raises(InputError, match=rf"20 of the model's 20 genes \(100%\) are missing.*{words}"):
        align.genes(theirs, wanted, most_missing=0.2)


def test_hints_for_columns_of_var():
    symbols = [f"GENE{i}" for i in range(20)]
    var = pd.DataFrame({"n_cells": range(20), "gene_ids": MODEL}, index=symbols)
    with pytest.raises(InputError, match=r"match in adata.var\['gene_ids'\]: set adata.var_names = adata.var"):
        align.genes(symbols, MODEL, var=var)
    var["gene_ids"] = pd.Categorical([f"{g}.3" for g in MODEL])
    with pytest.raises(InputError, match=r"match in adata.var\['gene_ids'\] without version suffixes"):
        align.genes(symbols, MODEL, var=var)


def test_a_gene_that_stands_twice():
    np.testing.assert_array_equal(align.genes(["x", *MODEL, "x"], MODEL), np.arange(1, 21))
    with pytest.raises(InputError, match=r"'ENSG0003' appear more than once"):
        align.genes([*MODEL, "ENSG0003"], MODEL)
