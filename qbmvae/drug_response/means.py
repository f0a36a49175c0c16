"""What drug and cell line explain on their own: one effect a molecule plus one a line, on which a network may be trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from qbmvae.drug_response.data import DrugData

#: Rounds in which the effects of drugs and of lines are fitted in turn, and parts of the pairs left out in turn.
ROUNDS, FOLDS = 20, 10


def effects(
    response: np.ndarray, drug: np.ndarray, line: np.ndarray, n_drugs: int, n_lines: int
) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the mean response, the effect of each drug and that of each line, each shrunk towards 0 by one pair.

    Parameters
    ----------
    response, drug, line
        Of each pair, `(n_pairs,)`; drugs and lines by position.
    n_drugs, n_lines
        Numbers of them; one without pairs has no effect.
    """
    centre = float(response.mean())
    by_drug, by_line = np.zeros(n_drugs), np.zeros(n_lines)
    for _ in range(ROUNDS):
        rest = response - centre - by_line[line]
        by_drug = np.bincount(drug, rest, minlength=n_drugs) / (np.bincount(drug, minlength=n_drugs) + 1)
        rest = response - centre - by_drug[drug]
        by_line = np.bincount(line, rest, minlength=n_lines) / (np.bincount(line, minlength=n_lines) + 1)
    return centre, by_drug, by_line


@dataclass(frozen=True)
class Means:
    """Effects by canonical SMILES and by the line's key; `share` of the network's answer is added to them.

    Attributes
    ----------
    centre
        Mean response of the training pairs.
    drugs, lines
        Effects; a molecule or a line without one has 0.
    share
        Between 0 and 1, the share that fits the validation pairs best.
    """

    centre: float
    drugs: dict[str, float]
    lines: dict[str, float]
    share: float = 1.0

    def __call__(self, smiles: Sequence[str], lines: Sequence[str]) -> np.ndarray:
        """Return the expected response of pairs, `(n_pairs,)`.

        Parameters
        ----------
        smiles, lines
            Of each pair.
        """
        pairs = zip(smiles, lines, strict=True)
        return np.array([self.centre + self.drugs.get(s, 0.0) + self.lines.get(c, 0.0) for s, c in pairs])

    def of(self, data: DrugData, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the expected response of a data set's pairs, `(n_rows,)`; of all by default."""
        drug, line = (data.drug, data.line) if rows is None else (data.drug[rows], data.line[rows])
        smiles = [m.smiles for m in data.molecules.molecules]
        return self([smiles[k] for k in drug], [data.line_ids[k] for k in line])

    def weighted(self, expected: np.ndarray, network: np.ndarray, response: np.ndarray) -> Means:
        """Return the same means with the share of the network's answers that has the least squared error, cut to [0, 1].

        Parameters
        ----------
        expected, network, response
            Of validation pairs, `(n_pairs,)`.
        """
        share = float(network @ (response - expected) / max(float(network @ network), 1e-12))
        return replace(self, share=float(np.clip(share, 0, 1)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def fit_means(data: DrugData, rows: np.ndarray, seed: int) -> tuple[Means, np.ndarray]:
    """Return the means of training pairs, and what is expected of every pair of the data.

    A training pair's own response is not in what is expected of it: the pairs are left out by tenths. A network that were
    trained on the rest of a fit to the pairs themselves would learn from differences which new pairs do not have.

    Parameters
    ----------
    data
        The data set.
    rows
        Training pairs.
    seed
        Of the tenths.
    """
    distinct, molecule = np.unique([m.smiles for m in data.molecules.molecules], return_inverse=True)
    sizes = len(distinct), len(data.line_ids)
    response, drug, line = data.response, molecule[data.drug], data.line
    centre, by_drug, by_line = effects(response[rows], drug[rows], line[rows], *sizes)
    expected = centre + by_drug[drug] + by_line[line]
    fold = np.random.default_rng(seed).permutation(len(rows)) % min(FOLDS, len(rows))
    for k in np.unique(fold) if len(rows) > 1 else ():
        kept, left = rows[fold != k], rows[fold == k]
        c, d, at = effects(response[kept], drug[kept], line[kept], *sizes)
        expected[left] = c + d[drug[left]] + at[line[left]]
    drugs = dict(zip(distinct.tolist(), by_drug.tolist(), strict=True))
    return Means(centre, drugs, dict(zip(data.line_ids, by_line.tolist(), strict=True))), expected
