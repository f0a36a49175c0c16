from __future__ import annotations

import numpy as np
import pytest
import torch

from qbmvae.drug_response import molecule
from qbmvae.drug_response.graph_network import DrugEncoder, MoleculeSet, _Propagate

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "C", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "[Na+].[Cl-]"]


@pytest.fixture(scope="module")
def molecules() -> MoleculeSet:
    return MoleculeSet([molecule(s) for s in SMILES])


@pytest.fixture(scope="module")
def encoder() -> DrugEncoder:
    torch.manual_seed(0)
    return DrugEncoder()


def test_equals_the_textbook_formula_one_molecule_at_a_time(molecules, encoder):
    expected = []
    for graph in molecules.molecules:
        adjacency = torch.from_numpy(graph.adjacency.toarray())
        x = torch.from_numpy(graph.atoms).float()
        for layer in encoder.convolutions:
            x = torch.relu(adjacency @ x @ layer.weight.T + layer.bias)
        expected.append(encoder.dense(x.max(0).values))
    found = encoder(molecules.batch(np.arange(4)))
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_order_of_drugs_is_order_of_rows(molecules, encoder):
    order = np.array([2, 0, 3, 1])
    torch.testing.assert_close(
        encoder(molecules.batch(order)), encoder(molecules.batch(np.arange(4)))[order], rtol=1e-4, atol=1e-5
    )


def test_widths_are_those_of_the_paper(encoder):
    assert [tuple(layer.weight.shape) for layer in encoder.convolutions] == [(78, 78), (156, 78), (312, 156)]
    assert [tuple(p.shape) for p in encoder.dense.parameters()] == [(1024, 312), (1024,), (128, 1024), (128,)]


def test_gradient_of_the_propagation(molecules):
    adjacency = molecules.batch(np.arange(4)).adjacency.to(torch.float64)
    x = torch.randn(adjacency.shape[0], 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: _Propagate.apply(y, adjacency), (x,))
