"""Which molecules are one to the network: stereoisomers, spellings, salts of one parent."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from qbmvae.drug_response.featurise import Molecule, parent

# convolutions of the drug's branch: atoms that colour refinement cannot tell apart in as many rounds get equal codes
ROUNDS = 3


def network_input(molecule: Molecule, rounds: int = ROUNDS) -> Hashable:
    """Return what the network can see of a molecule: equal for two molecules only if their codes are equal.

    Atoms are coloured by their features, and `rounds` times by their colour and those of their neighbours (the
    refinement of Weisfeiler and Leman); the maximum over atoms sees the set of colours, whatever their order and number.
    """
    colours: list[Hashable] = [row.tobytes() for row in molecule.atoms]
    neighbours: list[list[int]] = [[] for _ in colours]
    for a, b in molecule.bonds.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    for _ in range(rounds):
        numbers = [hash(colour) for colour in colours]
        colours = [(numbers[k], tuple(sorted(numbers[j] for j in near))) for k, near in enumerate(neighbours)]
    return frozenset(colours)


def same_molecule(molecules: Sequence[Molecule]) -> np.ndarray:
    """Return a group number for each molecule, `(n_molecules,)`: equal where the network input or the parent is equal.

    Parameters
    ----------
    molecules
        The drugs.

    Returns
    -------
    Two molecules share a group where their featurised graphs cannot be told apart by the network, where their largest
    fragments without charges are equal up to stereochemistry (salts of one drug), or where a chain of such pairs
    connects them.
    """
    n = len(molecules)
    keys = [network_input(m) for m in molecules] + [parent(m.smiles) for m in molecules]
    number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    rows = np.tile(np.arange(n), 2)
    columns = n + np.array([number[key] for key in keys], dtype=np.int64)
    size = n + len(number)
    links = coo_array((np.ones(2 * n), (rows, columns)), shape=(size, size))
    component = connected_components(links, directed=False)[1][:n]
    # numbered by their first SMILES, so that a group's number does not depend on the order of the drugs
    first = {c: min(m.smiles for m, d in zip(molecules, component, strict=True) if d == c) for c in set(component)}
    return np.unique([first[c] for c in component], return_inverse=True)[1]
