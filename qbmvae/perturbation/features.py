"""Vectors that describe perturbations: one-hot, read from a file (ESM2-like), or embeddings of the measured genes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from qbmvae.perturbation.linear import principal_components
from samplers.errors import InputError, nearest


@dataclass(frozen=True)
class Features:
    """A table of feature vectors, `values` (n_names, n_features) float32, one row a single perturbation.

    A combination is the sum of its parts: its label joins their names with `separator`.
    """

    names: tuple[str, ...]
    values: np.ndarray
    kind: str
    separator: str = "+"
    _row: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_row", {name: i for i, name in enumerate(self.names)})

    @property
    def width(self) -> int:
        """Number of features."""
        return self.values.shape[1]

    def parts(self, label: str) -> list[str]:
        """Split a combination's label; a name of the table is never split."""
        return [label] if label in self._row else label.split(self.separator)

    def has(self, label: str) -> bool:
        """Say whether every part of the label has features."""
        return all(part in self._row for part in self.parts(label))

    def lookup(self, labels: Iterable[str]) -> np.ndarray:
        """Return (n_labels, n_features) float32.

        Raises
        ------
        InputError
            A perturbation without features, named with the nearest known names.
        """
        rows = []
        for label in labels:
            for part in self.parts(label):
                if part not in self._row:
                    hint = (
                        " (one-hot features know only the perturbations of the training data: give --features)"
                        if self.kind == "one-hot"
                        else ""
                    )
                    raise InputError(
                        f"perturbation {str(label)!r} has no features: {str(part)!r} is not in the table{nearest(part, self.names)}{hint}"
                    )
            rows.append(self.values[[self._row[part] for part in self.parts(label)]].sum(0))
        return np.stack(rows).astype(np.float32) if rows else np.zeros((0, self.width), np.float32)


def one_hot(labels: Iterable[str], separator: str = "+") -> Features:
    """Give every single perturbation of `labels` a coordinate of its own."""
    names = sorted({part for label in labels for part in str(label).split(separator)})
    return Features(tuple(names), np.eye(len(names), dtype=np.float32), "one-hot", separator)


def gene_embeddings(
    x: sp.csr_matrix | np.ndarray, genes: Sequence[str], n_components: int = 32, separator: str = "+"
) -> Features:
    """Embed each measured gene by its loadings on the principal components of (control) cells, (n_genes, n_components).

    Parameters
    ----------
    x
        Log1p-normalised expression of (control) cells, `(n_cells, n_genes)`.
    genes
        Their names.
    n_components
        Width of a vector.
    separator
        Joins the names of a combination's parts.
    """
    components, _ = principal_components(x, n_components)
    scale = components.std() or 1.0
    return Features(tuple(map(str, genes)), (components.T / scale).astype(np.float32), "genes", separator)


def read_features(path: str | Path, separator: str = "+") -> Features:
    """Read a table of vectors: .csv, .tsv, .parquet (first column or index: names), .npz or .pt (name -> vector).

    A .npz may also hold `names` and `values`.

    Raises
    ------
    InputError
        For a file that is missing, unreadable, or holds no finite vector a name.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"features: no file {path}")
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv", ".txt", ".parquet"):
        names, values = _table(path, suffix)
    elif suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            if "names" in archive and "values" in archive:
                names, values = archive["names"].astype(str).tolist(), archive["values"]
            else:
                names, values = _stack({name: archive[name] for name in archive.files}, path)
    elif suffix in (".pt", ".pth", ".torch"):
        from qbmvae.perturbation.backbones.checkpoint import load_tensors

        names, values = _stack(load_tensors(path), path)
    else:
        raise InputError(f"features: cannot read {path.name}: give .csv, .tsv, .parquet, .npz or .pt")
    values = np.asarray(values, dtype=np.float32)
    if values.ndim != 2 or len(names) != len(values) or not len(names):
        raise InputError(
            f"features: {path.name} must hold one vector a name, found values of shape {values.shape} for {len(names)} names"
        )
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise InputError(f"features: {twice!r} occurs twice in {path.name}")
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if bad.size:
        raise InputError(f"features: row {names[bad[0]]!r} of {path.name} holds NaN or infinite values")
    return Features(tuple(map(str, names)), values, "file", separator)


def _table(path: Path, suffix: str) -> tuple[list[str], np.ndarray]:
    import pandas as pd

    if suffix == ".parquet":
        table = pd.read_parquet(path)
        if not all(pd.api.types.is_numeric_dtype(t) for t in table.dtypes):
            table = table.set_index(table.columns[0])
    else:
        table = pd.read_csv(path, sep="," if suffix == ".csv" else "\t", index_col=0)
    textual = [c for c in table.columns if not pd.api.types.is_numeric_dtype(table[c])]
    if textual:
        raise InputError(f"features: column {textual[0]!r} of {path.name} is not numeric")
    return table.index.astype(str).tolist(), table.to_numpy()


def _stack(vectors: Mapping[str, Any], path: Path) -> tuple[list[str], np.ndarray]:
    rows = {str(name): np.asarray(vector, dtype=np.float32).ravel() for name, vector in vectors.items()}
    widths = {row.size for row in rows.values()}
    if len(widths) > 1:
        raise InputError(f"features: vectors of {path.name} differ in length: {sorted(widths)}")
    return list(rows), np.stack(list(rows.values())) if rows else np.zeros((0, 0))
