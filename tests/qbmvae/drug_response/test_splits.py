from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qbmvae.drug_response import SPLITS, assemble, sized_split, split
from qbmvae.drug_response.featurise import molecule
from qbmvae.drug_response.identity import network_input, same_molecule
from qbmvae.drug_response.splits import groups
from samplers.errors import InputError


@pytest.fixture(scope="module")
def with_tissue(data):
    return replace(data, tissues=np.array([f"t{k % 5}" for k in range(30)]))


def test_blind_tissues_and_drugs_share_neither_with_training(with_tissue):
    parts = split(with_tissue, "blind-tissue-and-drug", validation=0.2, test=0.2, seed=1)
    sides = [
        (with_tissue.tissues[with_tissue.line[p]], with_tissue.drug[p])
        for p in (parts.train, parts.validation, parts.test)
    ]
    assert all(len(p) for p, _ in sides)
    for k in (0, 1):
        held = [set(side[k]) for side in sides]
        assert not (held[0] & held[1] or held[0] & held[2] or held[1] & held[2])
    sized = sized_split(with_tissue, n_train=20, n_validation=2, n_test=3, kind="blind-tissue-and-drug", seed=1)
    assert [len(p) for p in (sized.train, sized.validation, sized.test)] == [20, 2, 3]
    with pytest.raises(InputError, match="150 train pairs are wanted"):
        sized_split(with_tissue, n_train=150, n_validation=2, n_test=3, kind="blind-tissue-and-drug", seed=1)


@pytest.mark.parametrize("kind", [kind for kind in SPLITS if kind != "blind-tissue-and-drug"])
def test_parts_are_disjoint_complete_and_blind(with_tissue, kind):
    parts = split(with_tissue, kind, validation=0.2, test=0.2, seed=1)
    rows = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(rows) == list(range(180))
    group = groups(with_tissue, kind)
    held = [set(group[part]) for part in (parts.train, parts.validation, parts.test)]
    assert not (held[0] & held[1] or held[0] & held[2] or held[1] & held[2])


def test_two_entries_of_one_molecule_stay_together(tables):
    responses, features, drugs = tables
    same = drugs.assign(smiles=drugs["smiles"].where(drugs["drug_id"] != 2, drugs["smiles"][0]))
    data = assemble(responses, features, same)
    for seed in range(10):
        parts = split(data, "blind-drug", validation=0.2, test=0.2, seed=seed)
        for part in (parts.train, parts.validation, parts.test):
            assert len({0, 1} & set(data.drug[part])) in (0, 2)


def test_a_seed_decides(data):
    one, two = (split(data, "blind-line", seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.test, two.test)
    assert set(one.test) != set(split(data, "blind-line", seed=5).test)


def test_sizes_nest(data):
    few, many = (sized_split(data, n_train=n, n_validation=20, n_test=30, seed=0) for n in (10, 100))
    assert set(few.train) < set(many.train)
    np.testing.assert_array_equal(few.test, many.test)
    assert not set(many.train) & (set(many.test) | set(many.validation))


def test_bad_splits_are_named(data):
    with pytest.raises(InputError, match="give --lines"):
        split(data, "blind-tissue")
    with pytest.raises(InputError, match="nearest: 'blind-drug'"):
        split(data, "blind-drugs")
    with pytest.raises(InputError, match="sum below 1"):
        split(data, validation=0.5, test=0.5)
    with pytest.raises(InputError, match="the data hold 180"):
        sized_split(data, n_train=5000, n_validation=1000, n_test=1000)


SAME = [
    ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"),  # mirror images
    ("F/C=C/F", "F/C=C\\F"),  # cis and trans
    ("CC(=O)O", "CC(=O)[O-].[Na+]"),  # a salt and its acid
    ("CN(C)CCO", "C[NH+](C)CCO.[Cl-]"),
    ("CN(C)CCO", "CN(C)CCO.Cl"),
    ("[13CH3]CO", "CCO"),  # an isotope: the network sees the element alone
    ("[Rb+].CC(=O)[O-]", "[Cs+].CC(=O)[O-]"),
]


@pytest.mark.parametrize("pair", SAME)
def test_what_the_network_cannot_tell_apart_is_one_group(pair):
    first, second, other = same_molecule([molecule(s) for s in (*pair, "c1ccccc1")])
    assert first == second != other


@pytest.mark.parametrize("pair", [("CCO", "CCCO"), ("CCO", "COC"), ("c1ccccc1", "C1CCCCC1"), ("CC(C)CC", "CCCCC")])
def test_different_molecules_are_two_groups(pair):
    first, second = same_molecule([molecule(s) for s in pair])
    assert first != second


def test_molecules_of_one_code_share_a_group_and_others_do_not():
    """The network itself is the oracle: equal codes and equal groups coincide for molecules without salts."""
    import torch

    from qbmvae.drug_response.graph_network import DrugEncoder, MoleculeSet

    smiles = ["C[C@H](N)CC", "C[C@@H](N)CC", "CC(C)CN", "CCCCN", "F/C=C/F", "F/C=C\\F", "FCC=F", "C1CCCCC1", "C1CCCC1"]
    molecules = [molecule(s) for s in smiles if s != "FCC=F"]
    torch.manual_seed(0)
    codes = DrugEncoder().double().eval()
    batch = MoleculeSet(molecules).batch(np.arange(len(molecules)))
    with torch.no_grad():
        out = codes(type(batch)(batch.propagated.double(), batch.adjacency.double(), batch.members))
    equal = torch.cdist(out, out) < 1e-7
    inputs = [network_input(m) for m in molecules]
    assert equal.tolist() == [[a == b for b in inputs] for a in inputs]


def test_a_blind_split_never_parts_mirror_images(tables):
    responses, features, drugs = tables
    pair = drugs.assign(smiles=["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", *drugs["smiles"][2:]])
    data = assemble(responses, features, pair)
    for seed in range(10):
        parts = split(data, "blind-drug", validation=0.2, test=0.2, seed=seed)
        for part in (parts.train, parts.validation, parts.test):
            assert len({0, 1} & set(data.drug[part])) in (0, 2)
