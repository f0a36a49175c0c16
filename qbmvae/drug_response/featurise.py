"""Molecules as graphs: SMILES to 78 binary features an atom and a normalised adjacency, once per drug."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from samplers.errors import InputError, needs

# the 43 elements of DeepChem's atom featuriser, and "other"
ELEMENTS = (
    "C N O S F Si P Cl Br Mg Na Ca Fe As Al I B V K Tl Yb Sb Sn Ag Pd Co Se Ti Zn H Li Ge Cu Au Ni Cd In Mn Zr Cr Pt "
    "Hg Pb"
).split()
COUNT_LEVELS = 11
N_ATOM_FEATURES = len(ELEMENTS) + 1 + 3 * COUNT_LEVELS + 1


@dataclass(frozen=True)
class Molecule:
    """One drug as a graph.

    Parameters
    ----------
    smiles
        RDKit's canonical SMILES: equal for equal molecules.
    atoms
        `(n_atoms, 78)` uint8 in {0, 1}: element (44), degree (11), hydrogens (11), implicit valence (11), aromatic (1).
    bonds
        `(n_bonds, 2)` int32, each bond once.
    """

    smiles: str
    atoms: np.ndarray
    bonds: np.ndarray

    @property
    def n_atoms(self) -> int:
        """Number of heavy atoms."""
        return len(self.atoms)

    @cached_property
    def adjacency(self) -> sp.csr_array:
        r"""The propagation matrix of a graph convolution, :math:`D^{-1/2} (A + I) D^{-1/2}` (Kipf and Welling, 2017)."""
        n = self.n_atoms
        i, j = self.bonds.T if len(self.bonds) else (np.zeros(0, int), np.zeros(0, int))
        loops = np.arange(n)
        rows, columns = np.concatenate([i, j, loops]), np.concatenate([j, i, loops])
        scale = 1 / np.sqrt(np.bincount(rows, minlength=n))
        matrix = sp.csr_array((scale[rows] * scale[columns], (rows, columns)), shape=(n, n), dtype=np.float32)
        matrix.sort_indices()
        return matrix

    @cached_property
    def propagated(self) -> np.ndarray:
        """Atom features after the first propagation, `(n_atoms, 78)` float32; constant, so computed once per drug."""
        return self.adjacency @ self.atoms.astype(np.float32)


def molecule(smiles: str, *, where: str = "") -> Molecule:
    """Return the graph of one SMILES.

    Parameters
    ----------
    smiles
        A SMILES string; atoms with explicit hydrogens, charges and isotopes are fine.
    where
        Words for the error message, such as "row 7, drug 'Erlotinib'".

    Raises
    ------
    InputError
        For a SMILES that RDKit cannot read, naming `where` and RDKit's reason.
    MissingExtraError
        Where RDKit is not installed.
    """
    chem = _rdkit()
    place = f" ({where})" if where else ""
    if not isinstance(smiles, str) or not smiles.strip():
        raise InputError(f"empty SMILES{place}: give a SMILES or drop the row")
    with _Quiet() as log:
        mol = chem.MolFromSmiles(smiles.strip())
    if mol is None:
        reason = log.reason()
        raise InputError(f"invalid SMILES {smiles!r}{place}" + (f": {reason}" if reason else ""))
    if mol.GetNumAtoms() == 0:
        raise InputError(f"SMILES {smiles!r}{place} holds no atom")
    smiles = chem.MolToSmiles(mol)
    # atoms in canonical order: two spellings of one molecule give the same arrays, to the last bit
    mol = chem.RenumberAtoms(mol, list(mol.GetPropsAsDict(True, True)["_smilesAtomOutputOrder"]))
    atoms = np.stack([_atom_features(atom) for atom in mol.GetAtoms()])
    bonds = np.array([(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in mol.GetBonds()], dtype=np.int32).reshape(-1, 2)
    return Molecule(smiles, atoms, bonds)


def parent(smiles: str) -> str:
    """Return the canonical SMILES of the largest fragment, uncharged and without stereochemistry: one for all salts."""
    chem = _rdkit()
    from rdkit.Chem.MolStandardize import rdMolStandardize

    with _Quiet():
        largest = rdMolStandardize.LargestFragmentChooser().choose(chem.MolFromSmiles(smiles))
        neutral = rdMolStandardize.Uncharger().uncharge(largest)
    return chem.MolToSmiles(neutral, isomericSmiles=False)


def fingerprints(smiles: Sequence[str], *, n_bits: int = 1024, radius: int = 2) -> np.ndarray:
    """Return Morgan fingerprints, `(n_drugs, n_bits)` uint8: the drug features of the classical controls.

    Parameters
    ----------
    smiles
        SMILES strings that RDKit reads.
    n_bits, radius
        Length and radius of the fingerprint.
    """
    chem = _rdkit()
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=n_bits)
    return np.stack([generator.GetFingerprintAsNumPy(chem.MolFromSmiles(s)) for s in smiles])


def _atom_features(atom: Any) -> np.ndarray:
    chem = _rdkit()
    row = np.zeros(N_ATOM_FEATURES, dtype=np.uint8)
    symbol = atom.GetSymbol()
    row[ELEMENTS.index(symbol) if symbol in ELEMENTS else len(ELEMENTS)] = 1
    counts = (atom.GetDegree(), atom.GetTotalNumHs(), atom.GetValence(chem.ValenceType.IMPLICIT))
    for k, count in enumerate(counts):
        # a count above ten takes the last level
        row[len(ELEMENTS) + 1 + k * COUNT_LEVELS + min(count, COUNT_LEVELS - 1)] = 1
    row[-1] = atom.GetIsAromatic()
    return row


def _rdkit() -> Any:
    with needs("rdkit", "drug"):
        from rdkit import Chem
    return Chem


class _Quiet:
    """Keep RDKit's parse errors off stderr, and read the first as the reason."""

    def __enter__(self) -> _Quiet:
        from rdkit import rdBase

        self._stream = io.StringIO()
        self._logger = logging.getLogger("rdkit")
        self._before = list(self._logger.handlers), self._logger.propagate
        self._logger.handlers, self._logger.propagate = [logging.StreamHandler(self._stream)], False
        rdBase.LogToPythonLogger()
        return self

    def __exit__(self, *exc: object) -> None:
        from rdkit import rdBase

        rdBase.LogToCppStreams()
        self._logger.handlers, self._logger.propagate = self._before

    def reason(self) -> str:
        lines = [line.split("] ", 1)[-1].strip() for line in self._stream.getvalue().splitlines()]
        return next((line for line in lines if line), "")
