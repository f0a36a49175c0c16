"""From a file to what embeddings are scored against: cells, genes, scored rows, reference, noise ceilings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.data.datasets import select_hvgs
from experiments.evaluation import embedding
from experiments.evaluation import reference as references
from experiments.tasks.arrays import stratified_subsample
from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Prepared:
    """Cells that are ready to be fitted and scored.

    Attributes
    ----------
    adata
        Cells and genes that models are fitted on.
    kept
        Rows of the file that `adata` holds, `(adata.n_obs,)`.
    rows
        Rows of `adata` that are scored, at most `max_cells`.
    reference
        What embeddings of the scored cells are compared with.
    ceilings
        Noise ceilings of the scored cells.
    """

    adata: AnnData
    kept: np.ndarray
    rows: np.ndarray
    reference: references.Reference
    ceilings: dict[str, Any]

    @property
    def cells(self) -> AnnData:
        """The scored cells."""
        return self.adata[self.rows]


def prepare(
    adata: AnnData,
    columns: references.Annotation = references.Annotation(),
    *,
    n_top_genes: int | None = None,
    n_cells: int | None = None,
    max_cells: int = 10_000,
    tasks: Sequence[str] = references.TASKS,
    seed: int = 0,
) -> Prepared:
    """Choose cells and genes, and compute what embeddings are scored against.

    Cells without counts or without a batch are left out (a cell without a type can be integrated, but is not scored), and
    so are genes without counts.

    Parameters
    ----------
    adata
        Counts; it is not written to.
    columns
        Where cells say what they are; the root by name or by row of the file, and among the scored cells in any case.
    n_top_genes
        Highly variable genes to keep; all by default.
    n_cells
        Take a subsample of this size first, stratified by batch and type; all cells by default.
    max_cells
        Score a stratified subsample above this size.
    tasks
        Which tasks will be scored.
    seed
        Of the scored subsample and of the noise ceilings.

    Raises
    ------
    InputError
        For a root that is not there or cannot be scored.
    """
    import scanpy as sc

    batch_key, label_key, layer = columns.batch_key, columns.label_key, columns.layer
    start = _root_row(adata, columns.root)
    kept = np.arange(adata.n_obs)
    if n_cells is not None:
        keys = [k for k in (batch_key, label_key) if k is not None]
        strata = adata.obs[keys].astype(str).agg("\x00".join, axis=1) if keys else np.zeros(adata.n_obs)
        kept = _with_row(stratified_subsample(strata, n_cells), start)
        adata = adata[kept].copy()
    if n_top_genes is not None:
        adata = select_hvgs(adata, n_top_genes, batch_key, layer)
    counts = adata.X if layer is None else adata.layers[layer]
    genes = sc.pp.filter_genes(counts, min_counts=1)[0]
    full = sc.pp.filter_cells(counts, min_counts=1)[0]
    if batch_key is not None:
        full = full & adata.obs[batch_key].notna().to_numpy()
    adata, kept = adata[full, genes].copy(), kept[full]
    adata.obs_names = adata.obs_names.astype(str)
    adata.uns.pop("iroot", None)
    rows = references.usable_cells(adata, [label_key, batch_key], max_cells, seed)
    place = np.zeros(0, dtype=np.int64) if start is None else np.flatnonzero(kept == start)
    if len(place) and (label_key is None or adata.obs[label_key].notna().iloc[place[0]]):
        rows = _with_row(rows, int(place[0]))
        name = str(adata.obs_names[place[0]])
    elif columns.root is not None:
        raise InputError(f"the root cell {columns.root!r} cannot be scored: it lacks counts, a batch or a type")
    else:
        name = None
    cells = adata[rows].copy()
    found = references.reference(cells, replace(columns, root=name), tasks)
    return Prepared(adata, kept, rows, found, embedding.ceilings(cells, found, layer, seed))


def _root_row(adata: AnnData, root: str | int | None) -> int | None:
    """Return the root's row in the whole file: the one that is named, or that of uns."""
    if root is None:
        return int(adata.uns["iroot"]) if "iroot" in adata.uns else None
    return references.root_row(adata, root)


def _with_row(rows: np.ndarray, row: int | None) -> np.ndarray:
    return rows if row is None else np.union1d(rows, [row]).astype(rows.dtype)
