"""CellChat's communication probability between cell types, its permutation p-value, and its fold between conditions.

Jin et al. 2021 (Nature Communications 12, 1088): expression is log-normalised and divided by its largest value; a group's
expression is a truncated mean, a complex's the geometric mean of its subunits; P = LR / (Kh + LR). Cofactors are left
out: agonists, antagonists and co-receptors need CellChatDB's own table of members.

Parameters
----------
adata
    Counts in `.X` or a layer; cell types in `.obs`.
pairs
    `(ligand, receptor, sender, receiver)`; a complex is a list of genes.
cell_type_key
    Column of `.obs` with the cell types.
layer
    Layer with the counts; `.X` by default.
kh
    Half-saturation of the Hill function.
trim
    Share of cells cut from each end before a group's mean.
seed
    Seed or generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from qbmvae.cellsim.expression import counts_of, log_normalised
from samplers.errors import InputError, nearest, require

if TYPE_CHECKING:
    from anndata import AnnData

#: A pair: ligand, receptor (each a gene, or several as subunits of a complex), sender, receiver.
Pair = tuple[Any, Any, str, str]
PAIR_COLUMNS = ["ligand", "receptor", "sender", "receiver"]


def communication(
    adata: AnnData,
    pairs: Sequence[Pair],
    *,
    cell_type_key: str = "cell_type",
    condition: str | None = None,
    condition_key: str = "condition",
    layer: str | None = None,
    kh: float = 0.5,
    trim: float = 0.01,
    n_permutations: int = 100,
    seed: int | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """Return the communication probability of ligand-receptor pairs, with a p-value over permuted cell types.

    Parameters
    ----------
    adata
        Counts in `.X` or a layer; cell types in `.obs`.
    pairs
        `(ligand, receptor, sender, receiver)`; a complex is a list of genes.
    condition
        One value of `.obs[condition_key]`; where there are several and none is named, each is analysed by itself.
    kh
        Half-saturation of the Hill function.
    trim
        Share of cells cut from each end before a group's mean.
    n_permutations
        Permutations of the cell types; the smallest p-value is 1 / (n_permutations + 1). CellChat counts without the
        one, so that it can print 0.
    seed
        Of the permutations.
    condition_key
        Column of `.obs` with the conditions.

    Returns
    -------
    DataFrame
        One row a pair (and condition): "ligand", "receptor", "sender", "receiver", "probability", "p-value", and
        "condition" where there are several.

    Raises
    ------
    InputError
        For a gene, cell type, column or condition that the data lack, data that are not counts, or `trim` out of range.
    """
    if not 0 <= trim < 0.5:
        raise InputError(f"trim is {trim}: it is a share of the cells at each end, in [0, 0.5)")
    tables = []
    for name, part in by_condition(adata, condition, condition_key):
        groups = Groups(part, pairs, cell_type_key, layer, trim)
        observed = groups.probabilities(groups.labels, kh)
        rng = np.random.default_rng(seed)
        above = np.zeros(len(observed))
        for _ in range(n_permutations):
            # small differences of rounding do not count as larger
            above += groups.probabilities(rng.permutation(groups.labels), kh) >= observed - 1e-12
        table = groups.table.assign(probability=observed)
        table["p-value"] = np.where(observed > 0, (above + 1) / (n_permutations + 1), 1.0)
        tables.append(table if name is None else table.assign(condition=name))
    return pd.concat(tables, ignore_index=True)


def compare_conditions(
    a: AnnData,
    b: AnnData,
    pairs: Sequence[Pair],
    *,
    cell_type_key: str = "cell_type",
    layer: str | None = None,
    kh: float = 0.5,
    trim: float = 0.01,
    level: float = 0.95,
    n_bootstrap: int = 500,
    seed: int | np.random.Generator | None = 0,
) -> pd.DataFrame:
    """Return how many times larger each pair's communication probability is in `b` than in `a`, with an interval.

    Parameters
    ----------
    a, b
        The two conditions, baseline first; otherwise as in `communication`.
    level
        Coverage of the percentile bootstrap interval.
    n_bootstrap
        Resamples of the cells, within each cell type of each condition.

    Returns
    -------
    DataFrame
        One row a pair: "probability_a", "probability_b", "fold" (b / a; infinite where a is 0), "interval" (low, high).

    Raises
    ------
    InputError
        As `communication`, and for a `level` that is no coverage.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}: give a coverage between 0 and 1, such as 0.95")
    sides = [Groups(adata, pairs, cell_type_key, layer, trim) for adata in (a, b)]
    rng = np.random.default_rng(seed)
    observed = [side.probabilities(side.labels, kh) for side in sides]
    draws = np.empty((n_bootstrap, len(observed[0])))
    for k in range(n_bootstrap):
        resampled = [side.probabilities(side.labels, kh, side.resample(rng)) for side in sides]
        draws[k] = _ratio(resampled[1], resampled[0])
    table = sides[0].table.assign(probability_a=observed[0], probability_b=observed[1])
    table["fold"] = _ratio(observed[1], observed[0])
    tails = [(1 - level) / 2, (1 + level) / 2]
    # order statistics without interpolation: infinite folds stay infinite, not NaN
    low, high = np.quantile(draws, tails, axis=0, method="nearest") if n_bootstrap else np.full((2, len(table)), np.nan)
    table["interval"] = list(zip(low.tolist(), high.tolist(), strict=True))
    return table


class Groups:
    """Expression of the pairs' genes, divided by the largest of the data, and cells' types as codes.

    Raises
    ------
    InputError
        Where a gene, a cell type or a column is not in the data.
    """

    def __init__(self, adata: AnnData, pairs: Sequence[Pair], cell_type_key: str, layer: str | None, trim: float):
        require(cell_type_key, adata.obs, "obs has no column", adata.obs.columns)
        types = adata.obs[cell_type_key].astype("category").cat.remove_unused_categories()
        self.labels, self.names, self.trim = types.cat.codes.to_numpy(), list(types.cat.categories), trim
        self.table, self.members = _checked(pairs, adata, self.names)
        expression = log_normalised(counts_of(adata, layer))
        largest = expression.data.max() if expression.nnz else 1.0
        genes = sorted({g for side in self.members for gs in side for g in gs})
        position = {g: i for i, g in enumerate(genes)}
        columns = adata.var_names.get_indexer(genes)
        self.expression = np.asarray(sp.csc_matrix(expression)[:, columns].toarray()) / largest
        # complexes as rows of genes: the geometric mean is over the ones named
        self.sides = [[[position[g] for g in gs] for gs in side] for side in self.members]
        self.ends = [[self.names.index(t) for t in self.table[c].astype(str)] for c in ("sender", "receiver")]

    def means(self, labels: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return truncated means of each group, `(n_types, n_genes)`, of all cells or of the rows given."""
        values = self.expression if rows is None else self.expression[rows]
        groups = labels if rows is None else labels[rows]
        out = np.empty((len(self.names), values.shape[1]))
        for t in range(len(self.names)):
            out[t] = truncated_mean(values[groups == t], self.trim)
        return out

    def probabilities(self, labels: np.ndarray, kh: float, rows: np.ndarray | None = None) -> np.ndarray:
        """Return P of each pair, `(n_pairs,)`.

        Parameters
        ----------
        labels
            Code of each cell's type, `(n_cells,)`.
        rows
            Cells to use, with repetitions; all by default.
        """
        means = self.means(labels, rows)
        sides = []
        for end, complexes in zip(self.ends, self.sides, strict=True):
            sides.append(np.array([_geometric(means[t, genes]) for t, genes in zip(end, complexes, strict=True)]))
        product = sides[0] * sides[1]
        return product / (kh + product)

    def resample(self, rng: np.random.Generator) -> np.ndarray:
        """Return rows drawn with replacement within each group."""
        members = [np.flatnonzero(self.labels == t) for t in range(len(self.names))]
        return np.concatenate([m[rng.integers(len(m), size=len(m))] for m in members])


def truncated_mean(values: np.ndarray, trim: float) -> np.ndarray:
    """Return each column's mean without the lowest and highest `floor(n * trim)` values, as R's `mean(x, trim=)`."""
    n = len(values)
    if not n:
        return np.zeros(values.shape[1])
    cut = int(np.floor(n * trim))
    if not cut:
        return values.mean(axis=0)
    parted = np.partition(values, (cut, n - cut - 1), axis=0)
    return parted[cut : n - cut].mean(axis=0)


def by_condition(adata: AnnData, condition: str | None, key: str) -> list[tuple[str | None, AnnData]]:
    """Return the data of one condition, or of each where there are several, with its name (None where there is one).

    Parameters
    ----------
    condition
        One value of the column; None for all.
    key
        Column of `.obs` with the conditions.

    Raises
    ------
    InputError
        Where there is no such column or value.
    """
    if condition is None and key not in adata.obs:
        return [(None, adata)]
    require(key, adata.obs, "obs has no column", adata.obs.columns)
    values = adata.obs[key].astype(str)
    present = list(dict.fromkeys(values))
    if condition is None:
        return [(None, adata)] if len(present) == 1 else [(v, adata[(values == v).to_numpy()]) for v in present]
    require(condition, present, f"no cell has {key}")
    return [(None, adata[(values == condition).to_numpy()])]


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.where(above > 0, np.inf, np.nan))


def _geometric(values: np.ndarray) -> float:
    if len(values) == 1:
        return float(values[0])
    return float(np.exp(np.log(values).mean())) if (values > 0).all() else 0.0


def _checked(
    pairs: Sequence[Pair], adata: AnnData, types: list[str]
) -> tuple[pd.DataFrame, tuple[list[list[str]], list[list[str]]]]:
    rows: list[list[str]] = []
    ligands: list[list[str]] = []
    receptors: list[list[str]] = []
    if isinstance(pairs, str) or not len(pairs):
        raise InputError("pairs is empty: give (ligand, receptor, sender, receiver), one or more")
    known = set(adata.var_names)
    for k, pair in enumerate(pairs):
        if isinstance(pair, str) or len(pair) != 4:
            raise InputError(f"pairs[{k}] is {pair!r}: a pair is (ligand, receptor, sender, receiver)")
        complexes = [[side] if isinstance(side, str) else [str(g) for g in side] for side in pair[:2]]
        for gene in complexes[0] + complexes[1]:
            if gene not in known:
                raise InputError(f"pairs[{k}]: gene {gene!r} is not in the data{nearest(gene, adata.var_names)}")
        for kind in pair[2:]:
            if str(kind) not in [str(t) for t in types]:
                raise InputError(f"pairs[{k}]: no cell is of type {kind!r}{nearest(kind, types)}")
        ligands.append(complexes[0])
        receptors.append(complexes[1])
        rows.append(["+".join(complexes[0]), "+".join(complexes[1]), str(pair[2]), str(pair[3])])
    return pd.DataFrame(rows, columns=PAIR_COLUMNS), (ligands, receptors)
