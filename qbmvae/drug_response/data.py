"""A drug-response data set in memory: distinct molecules, cell lines with features, and measured pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from qbmvae.drug_response.featurise import Molecule
from qbmvae.drug_response.graph_network import GraphBatch, MoleculeSet
from qbmvae.drug_response.response import Target, to_response


@dataclass(frozen=True)
class DrugData:
    """Measured pairs of drug and cell line.

    Parameters
    ----------
    molecules
        One graph a drug.
    drug_ids, drug_names
        The keys and names of the drugs, in the order of `molecules`.
    line_ids
        The keys of the cell lines.
    features
        `(n_lines, width)` float32: 0/1 genomic features, or an embedding.
    feature_names
        The names of the features, in order.
    drug, line
        `(n_pairs,)` int64 indices of each pair.
    values
        `(n_pairs,)` float64 on the target's own scale.
    target
        What `values` hold.
    tissues
        `(n_lines,)` tissue of each line, or None.
    notes
        What was dropped or averaged on the way in, a sentence each.
    mechanisms
        `(n_drugs,)` how each drug acts, or None; scores are stratified by it.
    """

    molecules: MoleculeSet
    drug_ids: list[str]
    drug_names: list[str]
    line_ids: list[str]
    features: np.ndarray
    feature_names: list[str]
    drug: np.ndarray
    line: np.ndarray
    values: np.ndarray
    target: Target = "ln_ic50"
    tissues: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    mechanisms: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.drug)

    @property
    def width(self) -> int:
        """Number of features of a cell line."""
        return self.features.shape[1]

    @property
    def response(self) -> np.ndarray:
        """`(n_pairs,)` on the scale that networks are trained on."""
        return to_response(self.values, self.target)

    def take(self, rows: np.ndarray) -> DrugData:
        """Return the data set with these pairs only; drugs and lines stay."""
        return replace(self, drug=self.drug[rows], line=self.line[rows], values=self.values[rows])


@dataclass(frozen=True)
class PairBatch:
    """Pairs whose distinct drugs and lines are encoded once.

    Parameters
    ----------
    graphs
        The distinct drugs.
    features
        `(n_distinct_lines, width)`.
    drug, line
        `(batch,)` positions among the distinct ones.
    """

    graphs: GraphBatch
    features: torch.Tensor
    drug: torch.Tensor
    line: torch.Tensor


def pair_batch(molecules: MoleculeSet, features: np.ndarray, drug: np.ndarray, line: np.ndarray) -> PairBatch:
    """Return the pairs `(drug[k], line[k])` as a batch with duplicates of drugs and lines taken out.

    Parameters
    ----------
    molecules
        The data's molecules.
    features
        Of its cell lines, `(n_lines, n_features)`.
    drug, line
        Positions of each pair, `(n_pairs,)`.
    """
    drugs, drug_positions = np.unique(drug, return_inverse=True)
    lines, line_positions = np.unique(line, return_inverse=True)
    return PairBatch(
        molecules.batch(drugs),
        torch.from_numpy(features[lines]),
        torch.from_numpy(drug_positions),
        torch.from_numpy(line_positions),
    )


def shuffled_rows(
    data: DrugData, rows: np.ndarray, batch_size: int, pairs_per_line: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield batches of rows that visit each row once.

    Parameters
    ----------
    data
        The data set.
    rows
        Pairs to visit.
    batch_size
        Pairs a batch; a last batch of one pair joins the one before.
    pairs_per_line
        1: any order. More: rows are shuffled in runs of up to this many pairs of one cell line, so that a batch holds
        fewer lines to encode.
    generator
        The source of the order.
    """
    order = generator.permutation(rows)
    if pairs_per_line > 1:
        order = order[np.argsort(data.line[order], kind="stable")]
        line = data.line[order]
        first = np.concatenate([[True], line[1:] != line[:-1]])
        start = np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
        chunk = np.cumsum(((np.arange(len(order)) - start) % pairs_per_line) == 0) - 1
        order = order[np.argsort(generator.permutation(chunk[-1] + 1)[chunk], kind="stable")]
    cuts = np.arange(batch_size, len(order), batch_size)
    if len(cuts) and len(order) - cuts[-1] == 1:
        cuts = cuts[:-1]
    yield from np.split(order, cuts)


def grid(molecules: list[Molecule], features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices `(drug, line)` of every molecule with every row of features, drugs outermost."""
    drug, line = np.divmod(np.arange(len(molecules) * len(features)), max(len(features), 1))
    return drug, line
