from __future__ import annotations

import numpy as np
import pytest

from qbmvae.drug_response import fingerprints, molecule
from qbmvae.drug_response.featurise import ELEMENTS, N_ATOM_FEATURES
from samplers.errors import InputError


def test_every_atom_has_one_entry_a_group():
    graph = molecule("CC(=O)Oc1ccccc1C(=O)[O-]")
    assert graph.atoms.shape == (13, N_ATOM_FEATURES) == (13, 78)
    assert set(np.unique(graph.atoms)) == {0, 1}
    for start, end in ((0, 44), (44, 55), (55, 66), (66, 77)):
        np.testing.assert_array_equal(graph.atoms[:, start:end].sum(1), 1)
    assert graph.atoms[:, 77].sum() == 6


def test_features_of_ethanol_by_hand():
    graph = molecule("CCO")
    assert graph.smiles == "CCO"
    methyl, methylene, oxygen = graph.atoms
    degree, hydrogens, valence = 44, 55, 66
    for atom, element, d, h in ((methyl, "C", 1, 3), (methylene, "C", 2, 2), (oxygen, "O", 1, 1)):
        assert set(np.flatnonzero(atom)) == {ELEMENTS.index(element), degree + d, hydrogens + h, valence + h}


def test_an_unlisted_element_is_other():
    assert molecule("[Xe]").atoms[0, len(ELEMENTS)] == 1


def test_adjacency_is_the_symmetric_normalisation_with_loops():
    graph = molecule("c1ccc2ccccc2c1")
    plain = np.eye(graph.n_atoms)
    for i, j in graph.bonds:
        plain[i, j] = plain[j, i] = 1
    scale = 1 / np.sqrt(plain.sum(0))
    np.testing.assert_allclose(graph.adjacency.toarray(), scale[:, None] * plain * scale, rtol=1e-6)
    np.testing.assert_allclose(graph.propagated, graph.adjacency.toarray() @ graph.atoms, rtol=1e-6)


def test_a_single_atom_and_a_salt_are_molecules():
    assert molecule("C").bonds.shape == (0, 2)
    assert molecule("[Na+].[Cl-]").n_atoms == 2


@pytest.mark.parametrize(
    ("one", "other"), [("OCC", "CCO"), ("c1ccccc1C(=O)O", "OC(=O)C1=CC=CC=C1"), ("[Cl-].[Na+]", "[Na+].[Cl-]")]
)
def test_two_spellings_of_a_molecule_are_one_graph(one, other):
    left, right = molecule(one), molecule(other)
    assert left.smiles == right.smiles
    np.testing.assert_array_equal(left.atoms, right.atoms)
    np.testing.assert_array_equal(left.adjacency.toarray(), right.adjacency.toarray())


@pytest.mark.parametrize(
    ("smiles", "reason"), [("C1CC", "unclosed ring"), ("hello", "syntax"), ("CN(C)(C)(C)C", "valence")]
)
def test_an_invalid_smiles_is_named_with_its_place_and_reason(smiles, reason, capfd):
    with pytest.raises(InputError, match=reason) as caught:
        molecule(smiles, where="row 7, drug 'X'")
    assert repr(smiles) in str(caught.value) and "row 7, drug 'X'" in str(caught.value)
    assert capfd.readouterr().err == ""


def test_an_empty_smiles_is_refused():
    with pytest.raises(InputError, match="empty SMILES"):
        molecule("  ")


def test_fingerprints_tell_molecules_apart():
    bits = fingerprints(["CCO", "CCN", "CCO"])
    assert bits.shape == (3, 1024)
    assert (bits[0] == bits[2]).all() and (bits[0] != bits[1]).any()
