"""Is this AnnData usable as perturbation data? Every refusal names what is wrong, where, and what to do.

Parameters
----------
adata
    The user's data.
which
    What messages call the data.
pert_key
    Column of obs with each cell's perturbation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from samplers.errors import InputError, nearest

if TYPE_CHECKING:
    from anndata import AnnData

# log1p of a million counts is 13.8: above this the values cannot be log1p-normalised (the limit of cell-eval)
LOG1P_LIMIT = 15.0


def labels(adata: AnnData, pert_key: str, which: str = "data") -> np.ndarray:
    """Return `adata.obs[pert_key]` as strings, (n_cells,).

    Raises
    ------
    InputError
        The column is missing, or a cell has no label.
    """
    if pert_key not in adata.obs:
        raise InputError(f"{which}: no column {pert_key!r} in obs{nearest(pert_key, adata.obs.columns)}")
    column = adata.obs[pert_key]
    missing = column.isna().to_numpy()
    if missing.any():
        raise InputError(
            f"{which}: obs[{pert_key!r}] is empty for {int(missing.sum())} cells, first "
            f"{adata.obs_names[np.flatnonzero(missing)[0]]!r}: drop these cells or label them"
        )
    return column.astype(str).to_numpy(dtype=object).astype(str)


def require_control(names: np.ndarray, control: str, pert_key: str, which: str = "data") -> None:
    """Raise InputError where no cell carries the label of the controls.

    Parameters
    ----------
    names
        Perturbation of each cell.
    control
        Label of the controls.

    Raises
    ------
    InputError
        Where there are none.
    """
    if not (names == control).any():
        raise InputError(
            f"{which}: no control cells: no cell has {control!r} in obs[{pert_key!r}]"
            f"{nearest(control, np.unique(names))}; name the control with control="
        )


def require_perturbed(names: np.ndarray, control: str, pert_key: str, which: str = "data") -> None:
    """Raise InputError where no cell carries another label than that of the controls.

    Parameters
    ----------
    names
        Perturbation of each cell.
    control
        Label of the controls.

    Raises
    ------
    InputError
        Where there are none.
    """
    if (names == control).all():
        raise InputError(f"{which}: every cell of obs[{pert_key!r}] is {control!r}: there is no perturbation beside it")


def log_normalised(
    adata: AnnData, which: str = "data", *, target_sum: float | None = None
) -> sp.csr_matrix | np.ndarray:
    """Return `adata.X` as log1p-normalised values, (n_cells, n_genes): CSR where X is sparse, else an array.

    Integers are taken for counts and normalised (total to `target_sum`, by default the median total of the cells,
    then log1p), as cell-eval does.

    Parameters
    ----------
    target_sum
        Total to which counts are normalised; their median by default.

    Raises
    ------
    InputError
        X is missing, holds NaN or negative values, or fractions above 15, which no log1p-normalised value reaches.
    """
    x: Any = adata.X
    if x is None:
        raise InputError(f"{which}: X is empty: put log1p-normalised expression (or counts) there")
    x = x.tocsr() if sp.issparse(x) else np.asarray(x)
    values = x.data if sp.issparse(x) else x
    if not np.issubdtype(values.dtype, np.floating):
        x = x.astype(np.float32)
    elif values.dtype == np.float16:
        x = x.astype(np.float32)
    values = x.data if sp.issparse(x) else x
    if values.size == 0:
        return x
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low) or not np.isfinite(high):
        rows = _bad_rows(x)
        raise InputError(
            f"{which}: X holds NaN or infinite values, first in cell {adata.obs_names[rows[0]]!r}: remove them"
        )
    if low < 0:
        raise InputError(
            f"{which}: X holds negative values (smallest {low:.3g}): log1p-normalised values are >= 0, clip them"
        )
    if not (np.modf(values)[0] > 1e-3).any():
        return _normalise(x, target_sum)
    if high >= LOG1P_LIMIT:
        raise InputError(
            f"{which}: X holds fractions up to {high:.3g}, beyond log1p-normalised values (< {LOG1P_LIMIT:g}): "
            "give counts, or normalise and log1p them"
        )
    return x


def median_total(adata: AnnData) -> float | None:
    """Return the median total of the cells where X holds counts, None where it is log1p-normalised already."""
    x = adata.X
    if x is None or (np.modf(x.data if sp.issparse(x) else np.asarray(x))[0] > 1e-3).any():
        return None
    totals = np.asarray(x.sum(axis=1), dtype=np.float64).ravel()
    return float(np.median(totals[totals > 0])) if (totals > 0).any() else None


def _bad_rows(x: sp.csr_matrix | np.ndarray) -> np.ndarray:
    if isinstance(x, np.ndarray):
        return np.flatnonzero(~np.isfinite(x).all(axis=1))
    found = x.tocoo()
    return np.sort(found.row[~np.isfinite(found.data)])


def _normalise(x: sp.csr_matrix | np.ndarray, target_sum: float | None) -> sp.csr_matrix | np.ndarray:
    totals = np.asarray(x.sum(axis=1), dtype=np.float64).ravel()
    target = target_sum if target_sum is not None else (np.median(totals[totals > 0]) if (totals > 0).any() else 1.0)
    scale = target / np.where(totals > 0, totals, 1.0)
    if isinstance(x, np.ndarray):
        return np.log1p(x * scale[:, None].astype(x.dtype))
    x = x.copy()
    x.data = np.log1p(x.data * np.repeat(scale, np.diff(x.indptr)).astype(x.dtype))
    return x


def unique_genes(adata: AnnData, which: str = "data") -> None:
    """Raise InputError where a gene's name occurs twice.

    Raises
    ------
    InputError
        Where there is one.
    """
    if not adata.var_names.is_unique:
        twice = adata.var_names[adata.var_names.duplicated()]
        raise InputError(
            f"{which}: {len(twice.unique())} genes occur more than once in var_names, first {twice[0]!r}: sum their counts "
            "or call var_names_make_unique()"
        )


def match_genes(
    adata: AnnData, genes: np.ndarray | list[str], which: str = "data", wanted_by: str = "the model"
) -> np.ndarray:
    """Return the column of each of `genes` in `adata.var_names`, (n_genes,) int.

    Parameters
    ----------
    genes
        The names that are wanted.
    wanted_by
        Who wants them, for messages.

    Raises
    ------
    InputError
        Genes are missing or a name occurs twice.
    """
    unique_genes(adata, which)
    index = adata.var_names.get_indexer(np.asarray(genes, dtype=object))
    missing = np.flatnonzero(index < 0)
    if missing.size:
        first = genes[missing[0]]
        raise InputError(
            f"{which}: {missing.size} of the {len(genes)} genes of {wanted_by} are missing, first {first!r}"
            f"{nearest(first, adata.var_names[:5000])}: give data with these genes in var_names"
        )
    return index


def of_genes(adata: AnnData, genes: list[str], which: str = "data") -> AnnData:
    """Return the cells with these genes in this order, matched by name; the object itself where it has exactly these.

    Parameters
    ----------
    genes
        The names that are wanted.
    """
    return adata if np.array_equal(adata.var_names, genes) else adata[:, match_genes(adata, genes, which)]
