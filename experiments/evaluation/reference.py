"""What embeddings of some cells are compared with: their batches, types, components, times; made once for all embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments.data.datasets import log_normalised, require_key, unintegrated_pca
from experiments.tasks.arrays import stratified_subsample
from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

#: How the source of a time ends that is made from the data alone.
DIAGNOSTIC = "a diagnostic only"
TASKS = ("integration", "scgraph", "clustering", "classification", "trajectory")


@dataclass(frozen=True)
class Annotation:
    """Where cells say what they are.

    Attributes
    ----------
    batch_key, label_key, layer
        Columns of obs with batches and types, and the layer of the counts; X by default.
    time_keys
        obs columns of real time; or several of known mixture shares, each a path that starts at its largest value.
    root
        Root cell by name or row, for a reference pseudotime made batch by batch; `uns["iroot"]` by default; without
        either, the cell at the end of the first principal component, which is a diagnostic and no ground truth.
    branch_key
        obs column of lineages.
    """

    batch_key: str | None = None
    label_key: str | None = None
    layer: str | None = None
    time_keys: Sequence[str] = ()
    root: str | int | None = None
    branch_key: str | None = None


@dataclass
class Reference:
    """What an embedding of these cells is judged against.

    Attributes
    ----------
    batch, label
        Of each cell, `(n_cells,)`, or None.
    pca
        Before integration, `(n_cells, n_components)`.
    consensus
        scGraph's distances between types; empty where no batch is large enough.
    time, targets, roots
        Reference times, one or more `(n_cells,)` arrays NaN where unknown; regression targets `(n_cells, n_targets)`;
        rows of root cells, a list for each time.
    branch
        Lineage of each cell, or None.
    time_source
        Where the reference time comes from, in words.
    per_batch
        Whether the time is comparable inside a batch only.
    """

    batch: np.ndarray | None
    label: np.ndarray | None
    pca: np.ndarray
    consensus: pd.DataFrame = field(default_factory=pd.DataFrame)
    times: list[np.ndarray] = field(default_factory=list)
    targets: np.ndarray | None = None
    roots: list[list[int]] = field(default_factory=list)
    branch: np.ndarray | None = None
    time_source: str = ""
    per_batch: bool = False

    @property
    def has_time(self) -> bool:
        """Whether the reference time is known or starts at a root that is known."""
        return bool(self.times) and not self.time_source.endswith(DIAGNOSTIC)


def usable_cells(adata: AnnData, keys: Sequence[str | None], n_max: int, seed: int = 0) -> np.ndarray:
    """Return rows of at most `n_max` cells that have a value in every key, stratified by batch and type together.

    Parameters
    ----------
    adata
        The cells.
    keys
        Columns that must have a value; None is skipped.
    n_max
        Most cells.
    seed
        Of the subsample.

    Raises
    ------
    InputError
        Where no cell has them all.
    """
    present = np.ones(adata.n_obs, dtype=bool)
    strata = pd.Series("", index=range(adata.n_obs))
    for key in keys:
        if key is not None:
            require_key(adata, key)
            present &= adata.obs[key].notna().to_numpy()
            strata += "\x00" + adata.obs[key].astype(str).reset_index(drop=True)
    rows = np.flatnonzero(present)
    if not len(rows):
        raise InputError(f"no cell has a value in {', '.join(repr(k) for k in keys if k)}")
    return rows[stratified_subsample(strata.to_numpy()[rows], n_max, seed)]


def reference(
    adata: AnnData, columns: Annotation = Annotation(), tasks: Sequence[str] = TASKS, n_roots: int = 3
) -> Reference:
    """Return what embeddings of these cells are judged against.

    Parameters
    ----------
    adata
        Counts with obs; every cell has batch and label where their keys are given.
    columns
        Where they say what they are.
    tasks
        Which tasks will be scored.
    n_roots
        Root cells over which trajectory scores are averaged.

    Raises
    ------
    InputError
        For a column or a root that is not there, or a time that is no number.
    """
    from experiments.tasks.scgraph import consensus
    from experiments.tasks.trajectory import pick_roots, reference_pseudotime

    batch, label = (
        None if key is None else adata.obs[key].astype(str).to_numpy() for key in (columns.batch_key, columns.label_key)
    )
    found = Reference(batch, label, unintegrated_pca(adata, columns.layer))
    if "scgraph" in tasks and batch is not None and label is not None:
        found.consensus = consensus(log_normalised(adata, columns.layer).X, batch, label)
    if columns.branch_key is not None:
        require_key(adata, columns.branch_key)
        lineage = adata.obs[columns.branch_key].astype(object)
        found.branch = lineage.where(~lineage.astype(str).isin(["", "NA", "nan"]), None).to_numpy(dtype=object)
    if "trajectory" not in tasks:
        return found
    if columns.time_keys:
        times = []
        for key in columns.time_keys:
            require_key(adata, key)
            times.append(pd.to_numeric(adata.obs[key], errors="coerce").to_numpy(dtype=float))
            if np.isfinite(times[-1]).sum() < 3:
                raise InputError(f"obs[{key!r}] is no time: fewer than three cells have a number there")
        found.targets = np.column_stack(times)
        # a share falls along its path, which starts where it is largest
        found.times = times if len(times) == 1 else [-t for t in times]
        found.time_source = "obs " + ", ".join(repr(k) for k in columns.time_keys)
    else:
        start, found.time_source = _root(adata, found.pca, columns.root)
        zeros = np.zeros(adata.n_obs) if batch is None else batch
        time = reference_pseudotime(found.pca, zeros, start)
        if np.isfinite(time).sum() < 3:
            found.time_source = ""
            return found
        found.times, found.per_batch = [time], batch is not None
    found.roots = [pick_roots(t, n_roots, batch if found.per_batch else None) for t in found.times]
    return found


def _root(adata: AnnData, pca: np.ndarray, root: str | int | None) -> tuple[int, str]:
    if root is None and "iroot" in adata.uns:
        root = int(adata.uns["iroot"])
    if root is None:
        return int(np.argmax(pca[:, 0])), f"pseudotime from the end of the first principal component: {DIAGNOSTIC}"
    row = root_row(adata, root)
    return row, f"pseudotime of each batch from cell {adata.obs_names[row]!r}"


def root_row(adata: AnnData, root: str | int) -> int:
    """Return the row of a root cell that is given by its name or row.

    Raises
    ------
    InputError
        Where there is none.
    """
    names = pd.Index(adata.obs_names.astype(str))
    if str(root) in names:
        return int(names.get_loc(str(root)))
    if str(root).isdigit() and int(root) < adata.n_obs:
        return int(root)
    raise InputError(f"there is no root cell {root!r}: give a name of obs_names or a row below {adata.n_obs}")
