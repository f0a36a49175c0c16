"""Read and check the three tables: responses, features of cell lines, drugs with SMILES."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qbmvae.drug_response.data import DrugData
from qbmvae.drug_response.featurise import Molecule, molecule
from qbmvae.drug_response.graph_network import MoleculeSet
from qbmvae.drug_response.response import TARGETS, Target
from samplers.errors import InputError, nearest, require

DRUG_KEY, LINE_KEY = "drug_id", "cosmic_id"
#: Columns of the drug table that say how a drug acts; the first that is there is read.
MECHANISMS = ("mechanism", "pathway")


def read_table(path: str | Path) -> pd.DataFrame:
    """Return a table from `.parquet`, `.csv`, `.tsv` (also gzipped) or `.h5ad` (`obsm["X_qbmvae"]`, else X, by `obs_names`).

    Raises
    ------
    InputError
        For a file that is missing, unreadable or of another format.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    name = path.name.lower().removesuffix(".gz")
    try:
        if name.endswith((".parquet", ".pq")):
            return pd.read_parquet(path)
        if name.endswith((".csv", ".tsv", ".txt")):
            return pd.read_csv(path, sep="," if name.endswith(".csv") else "\t")
        if name.endswith(".h5ad"):
            return _embedding(path)
    except (ValueError, OSError, UnicodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    raise InputError(f"{path}: tables are .parquet, .csv, .tsv or .h5ad")


def assemble(
    responses: pd.DataFrame,
    features: pd.DataFrame,
    drugs: pd.DataFrame,
    *,
    lines: pd.DataFrame | None = None,
    target: Target | None = None,
    binary: bool = True,
    drop_missing: bool = False,
    drug_key: str = DRUG_KEY,
    line_key: str = LINE_KEY,
) -> DrugData:
    """Return the data set of three checked tables.

    Parameters
    ----------
    responses
        One row a measurement: `drug_id`, `cosmic_id` and one of `ln_ic50` (natural logarithm, micromolar), `ic50` (> 0)
        or `auc`. Replicates of a pair are averaged (IC50 on the logarithmic scale).
    features
        One row a cell line, keyed by its index or by a column `cosmic_id`; all other columns are features.
    drugs
        `drug_id`, `smiles` and, if there, `drug` (a name). Pairs of a drug whose SMILES is empty are left out.
    lines
        `cosmic_id` and `tissue`, for splits by tissue.
    target
        Which column to learn; by default the first of the three that is there.
    binary
        Whether features must be 0 or 1 (the convolutional encoder); else any finite number.
    drop_missing
        Leave out pairs whose drug or line is not in its table, instead of raising.
    drug_key, line_key
        Names of the key columns.

    Raises
    ------
    InputError
        For a missing column, an invalid SMILES, an unknown drug or line, a value outside its range: the message names
        table, row and what to do.
    """
    for column in (drug_key, line_key):
        _require(responses, column, "the response table")
    target = _target(responses, target)
    molecules, names, without = _drug_table(drugs, drug_key=drug_key)
    matrix = feature_table(features, binary=binary, line_key=line_key)
    notes = []

    drug_keys, line_keys = keys(responses[drug_key]), keys(responses[line_key])
    keep = ~pd.Series(drug_keys).isin(without).to_numpy()
    if not keep.all():
        notes.append(f"left out {(~keep).sum()} pairs of {len(without)} drugs without SMILES")
    for column, values, known, table in (
        (drug_key, drug_keys, molecules, "drug table"),
        (line_key, line_keys, matrix.index, "feature table"),
    ):
        lost = keep & ~pd.Series(values).isin(list(known)).to_numpy()
        if lost.any() and not drop_missing:
            row = int(np.flatnonzero(lost)[0])
            raise InputError(
                f"response table, row {row}: {column} {values[row]!r} is not in the {table}{nearest(values[row], known)} "
                f"({lost.sum()} such rows; --drop-missing leaves them out)"
            )
        if lost.any():
            notes.append(f"left out {lost.sum()} pairs whose {column} is not in the {table}")
        keep &= ~lost
    values = _values(responses, target, keep)
    if not keep.any():
        raise InputError("no pair is left: no drug with SMILES meets a line with features")

    pairs = pd.DataFrame(
        {
            "drug": pd.Index(list(molecules)).get_indexer(drug_keys[keep]),
            "line": matrix.index.get_indexer(line_keys[keep]),
            "value": np.log(values[keep]) if target == "ic50" else values[keep],
        }
    )
    merged = pairs.groupby(["drug", "line"], sort=True, as_index=False)["value"].mean()
    if len(merged) < len(pairs):
        notes.append(f"averaged {len(pairs) - len(merged)} replicate measurements")
    return DrugData(
        MoleculeSet(list(molecules.values())),
        list(molecules),
        [names[k] for k in molecules],
        list(matrix.index),
        # copies: pandas 3 lends arrays that cannot be written to
        matrix.to_numpy(dtype=np.float32, copy=True),
        [str(c) for c in matrix.columns],
        merged["drug"].to_numpy(dtype=np.int64, copy=True),
        merged["line"].to_numpy(dtype=np.int64, copy=True),
        np.exp(merged["value"].to_numpy()) if target == "ic50" else merged["value"].to_numpy(copy=True),
        target,
        None if lines is None else _tissue_table(lines, list(matrix.index), line_key=line_key),
        notes,
        _mechanism_table(drugs, list(molecules), drug_key=drug_key),
    )


def _drug_table(
    drugs: pd.DataFrame, *, drug_key: str = DRUG_KEY
) -> tuple[dict[str, Molecule], dict[str, str], set[str]]:
    """Return molecules by key, names by key, and the keys of drugs whose SMILES is empty."""
    for column in (drug_key, "smiles"):
        _require(drugs, column, "the drug table")
    molecules: dict[str, Molecule] = {}
    names: dict[str, str] = {}
    without: set[str] = set()
    titles = drugs["drug"] if "drug" in drugs.columns else drugs[drug_key]
    for row, (key, title, smiles) in enumerate(zip(keys(drugs[drug_key]), titles, drugs["smiles"], strict=True)):
        name = str(key) if pd.isna(title) else str(title)
        if pd.isna(smiles) or not str(smiles).strip():
            without.add(key)
            continue
        graph = molecule(str(smiles), where=f"drug table, row {row}, drug {name!r}")
        if key in molecules and molecules[key].smiles != graph.smiles:
            raise InputError(f"drug table, row {row}: {drug_key} {key!r} is there twice with different SMILES")
        molecules[key], names[key] = graph, name
    if not molecules:
        raise InputError("the drug table holds no SMILES")
    return molecules, names, without - set(molecules)


def _mechanism_table(drugs: pd.DataFrame, drug_ids: list[str], *, drug_key: str = DRUG_KEY) -> np.ndarray | None:
    """Return each drug's mechanism of action, "unknown" where the cell is empty; None without a column of `MECHANISMS`."""
    column = next((c for c in MECHANISMS if c in drugs.columns), None)
    if column is None:
        return None
    known = dict(zip(keys(drugs[drug_key]), drugs[column], strict=True))
    return np.array(["unknown" if pd.isna(known[k]) else str(known[k]) for k in drug_ids])


def feature_table(features: pd.DataFrame, *, binary: bool = True, line_key: str = LINE_KEY) -> pd.DataFrame:
    """Return the features as float32, indexed by line key; see `assemble` for what is refused.

    Parameters
    ----------
    features
        One row a cell line.
    binary
        Whether values must be 0 or 1.
    line_key
        Column with the lines' keys; the index where there is none.

    Raises
    ------
    InputError
        For lines that come twice, and values that are no such numbers; the message names the place.
    """
    table = _by_line(features, line_key)
    table = table.set_axis(keys(table.index), axis=0)
    if not table.index.is_unique:
        raise InputError(f"feature table: line {table.index[table.index.duplicated()][0]!r} is there twice")
    if not table.shape[0] or not table.shape[1]:
        raise InputError("the feature table holds no line or no feature")
    wrong = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    if wrong:
        raise InputError(
            f"feature table: column {wrong[0]!r} is not numeric ({len(wrong)} such); only features and {line_key!r} belong there"
        )
    values = table.to_numpy(dtype=np.float32)
    bad = ~np.isin(values, (0, 1)) if binary else ~np.isfinite(values)
    if bad.any():
        i, j = np.argwhere(bad)[0]
        cure = "must be 0 or 1 (--cell-encoder dense takes real numbers)" if binary else "must be finite"
        raise InputError(
            f"feature table: line {table.index[i]!r}, feature {table.columns[j]!r} is {values[i, j]:g}: features {cure}"
        )
    return pd.DataFrame(values, index=table.index, columns=table.columns)


def line_labels(features: pd.DataFrame, *, line_key: str = LINE_KEY) -> np.ndarray:
    """Return the lines of a feature table as the user wrote them, integers as integers, in the table's order."""
    return _by_line(features, line_key).index.to_numpy()


def _by_line(features: pd.DataFrame, line_key: str) -> pd.DataFrame:
    if line_key in features.columns:
        return features.set_index(line_key)
    if features.columns.size and str(features.columns[0]).startswith("Unnamed"):
        return features.set_index(features.columns[0])
    if isinstance(features.index, pd.RangeIndex) and features.index.name != line_key:
        _require(features, line_key, "the feature table")
    return features


def _tissue_table(lines: pd.DataFrame, line_ids: list[str], *, line_key: str = LINE_KEY) -> np.ndarray:
    """Return the tissue of each line; a line without one is an error that names it."""
    for column in (line_key, "tissue"):
        _require(lines, column, "the cell-line table")
    tissues = dict(zip(keys(lines[line_key]), lines["tissue"], strict=True))
    lost = [k for k in line_ids if pd.isna(tissues.get(k))]
    if lost:
        raise InputError(f"cell-line table: no tissue for line {lost[0]!r} ({len(lost)} such lines)")
    return np.array([str(tissues[k]) for k in line_ids])


def keys(column: Any) -> np.ndarray:
    """Return keys as strings: 683665, 683665.0 and "683665" are one line."""
    values = pd.Series(np.asarray(column))
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    return values.astype(str).str.strip().to_numpy(dtype=object)


def _target(responses: pd.DataFrame, target: Target | None) -> Target:
    if target is None:
        found = [t for t in TARGETS if t in responses.columns]
        if not found:
            raise InputError(
                f"the response table needs a column of {', '.join(TARGETS)}; it has {', '.join(map(str, responses.columns))}"
            )
        return found[0]
    if target not in TARGETS:
        raise InputError(f"target {target!r} is not known{nearest(target, TARGETS)}")
    _require(responses, target, "the response table")
    return target


def _values(responses: pd.DataFrame, target: Target, keep: np.ndarray) -> np.ndarray:
    values = pd.to_numeric(responses[target], errors="coerce").to_numpy(dtype=np.float64)
    bad = keep & ~np.isfinite(values)
    if target == "ic50":
        bad |= keep & ~(values > 0)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        need = "finite and > 0" if target == "ic50" else "a finite number"
        raise InputError(
            f"response table, row {row}: {target} is {responses[target].iloc[row]}, it must be {need} ({bad.sum()} such rows)"
        )
    return values


def _require(table: pd.DataFrame, column: str, name: str) -> None:
    require(column, table.columns, f"{name} has no column")


def _embedding(path: Path) -> pd.DataFrame:
    import anndata as ad

    adata = ad.read_h5ad(path)
    values = adata.obsm["X_qbmvae"] if "X_qbmvae" in adata.obsm else adata.X
    dense = np.asarray(values.todense() if hasattr(values, "todense") else values)
    return pd.DataFrame(dense, index=adata.obs_names, columns=[f"e{k}" for k in range(dense.shape[1])])
