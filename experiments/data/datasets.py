"""Data sets by name: those that need no download, those that public libraries fetch, and files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from experiments.data.synthetic import synthetic
from samplers.errors import InputError, nearest

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Named:
    """A data set that has a name: how to load it, the keys of its batches and types, where it comes from."""

    load: Callable[[], Any]
    batch_key: str | None
    label_key: str | None
    note: str


def pbmc68k() -> AnnData:
    """Return scanpy's bundled 700 blood cells with their counts recovered, CSR float32, `(700, 765)`.

    The bundled file holds log(1 + 10,000 c / N) with the cell's total N over all genes in obs["n_counts"], rounded
    to 3 decimals. So c = expm1(value) N / 10,000 up to rounding; the nearest integers reproduce every one of the
    stored values to half a unit of the last decimal and no other integers do, which is checked here for each entry.
    obs["cell_type"] is the annotation by purified reference populations; there is one batch.

    Raises
    ------
    InputError
        Where the counts cannot be recovered from the file that scanpy has.
    """
    import anndata as ad
    import scanpy as sc

    bundled = sc.datasets.pbmc68k_reduced()
    stored = sp.csr_matrix(bundled.raw.X, dtype=np.float64)
    scale = np.repeat(bundled.obs["n_counts"].to_numpy(np.float64) / 1e4, np.diff(stored.indptr))
    counts = np.rint(np.expm1(stored.data) * scale)
    rounding = 0.5e-3 + 1e-5
    for other, should_fit in ((counts, True), (counts - 1, False), (counts + 1, False)):
        fits = np.abs(np.log1p(np.maximum(other, 0) / scale) - stored.data) <= rounding
        if (should_fit and not fits.all()) or (not should_fit and fits.any()):
            raise InputError("scanpy's pbmc68k_reduced has changed: its counts cannot be recovered exactly any more")
    x = sp.csr_matrix((counts.astype(np.float32), stored.indices, stored.indptr), shape=stored.shape)
    adata = ad.AnnData(x, obs=bundled.obs[["bulk_labels", "n_counts", "phase"]].copy(), var=bundled.raw.var[[]].copy())
    adata.obs = adata.obs.rename(columns={"bulk_labels": "cell_type"})
    return adata


def _scvi(name: str, **options: Any) -> Callable[[], Any]:
    def load() -> Any:
        import scvi.data

        return getattr(scvi.data, name)(**options)

    return load


def _scanpy(name: str) -> Callable[[], Any]:
    def load() -> Any:
        import scanpy as sc

        return getattr(sc.datasets, name)()

    return load


NAMED: dict[str, Named] = {
    "synthetic": Named(
        synthetic, "batch", "cell_type", "our own generator: 1,500 cells, 3 batches, a branching process"
    ),
    "pbmc68k": Named(pbmc68k, None, "cell_type", "bundled with scanpy: 700 blood cells, 765 genes, one batch"),
    "pbmc-12k": Named(_scvi("pbmc_dataset"), "batch", "str_labels", "scvi.data: 12k blood cells, 2 batches; downloads"),
    "cortex": Named(_scvi("cortex"), None, "cell_type", "scvi.data: 3k mouse brain cells, 7 types; downloads"),
    "retina": Named(_scvi("retina"), "batch", "labels", "scvi.data: 20k bipolar cells, 2 batches; downloads"),
    "heart-atlas": Named(
        _scvi("heart_cell_atlas_subsampled"), "cell_source", "cell_type", "scvi.data: 18k heart cells; downloads"
    ),
    "pbmc3k": Named(_scanpy("pbmc3k"), None, None, "scanpy: 2.7k blood cells, counts, no types; downloads"),
    "paul15": Named(_scanpy("paul15"), None, "paul15_clusters", "scanpy: 2.7k myeloid progenitors; downloads"),
}


def load(name: str, root: str | os.PathLike[str] = ".") -> AnnData:
    """Return a data set by its name (see `NAMED`) or by the path of its cells, relative to `root`.

    Raises
    ------
    InputError
        For an unknown name, a file that is missing or damaged, or a download that fails.
    """
    if name in NAMED:
        try:
            return NAMED[name].load()
        except OSError as error:
            raise InputError(
                f"data set {name!r} could not be downloaded ({error}): give a local .h5ad file instead"
            ) from None
    path = Path(root) / name
    if path.suffix not in (".h5ad", ".zarr") and not path.exists():
        raise InputError(f"{name!r} is neither a data set nor a file of cells{nearest(name, NAMED)}")
    return read_cells(path)


def read_cells(sources: Any) -> AnnData:
    """Return cells in memory, of whatever `qbmvae.data.open_cells` opens.

    Raises
    ------
    InputError
        For sources that cannot be opened, or hold no expression matrix.
    """
    from qbmvae.data import open_cells
    from qbmvae.data.sources import expand, single_file

    one = single_file(expand(sources))
    return read_h5ad(one) if one is not None and one.suffix == ".h5ad" else open_cells(sources, in_memory="yes")


def read_h5ad(path: str | os.PathLike[str]) -> AnnData:
    """Return the contents of an .h5ad file.

    Raises
    ------
    InputError
        For a file that is not there, is a folder, or cannot be read as AnnData.
    """
    import anndata as ad

    path = Path(path)
    if not path.exists():
        close = nearest(path.name, [p.name for p in path.parent.glob("*.h5ad")]) if path.parent.is_dir() else ""
        raise InputError(f"there is no file {path}{close if close.startswith('; nearest') else ''}")
    if path.is_dir():
        raise InputError(f"{path} is a folder: give an .h5ad file")
    try:
        adata = ad.read_h5ad(path)
    except PermissionError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as error:  # noqa: BLE001 - h5py and anndata fail in many ways on a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} is damaged or not an .h5ad file: {reason}") from None
    if adata.X is None and not adata.layers:
        raise InputError(f"{path} holds no expression matrix: write counts to .X or to a layer")
    return adata


def require_key(adata: AnnData, key: str, what: str = "obs") -> None:
    """Raise `InputError` with the nearest names where obs (or another table) lacks a key.

    Parameters
    ----------
    adata
        The cells.
    key
        Name of the column.
    what
        What it is for, in the message.

    Raises
    ------
    InputError
        Names the nearest column.
    """
    known = getattr(adata, what)
    if key not in known:
        raise InputError(f"{what} has no column {key!r}{nearest(key, list(known))}")


def counts_of(adata: AnnData, layer: str | None = None) -> Any:
    """Return the counts: `.X`, or a layer by name.

    Raises
    ------
    InputError
        Where there is no such layer.
    """
    if layer is None:
        return adata.X
    if layer not in adata.layers:
        raise InputError(f"there is no layer {layer!r}{nearest(layer, adata.layers)}")
    return adata.layers[layer]


def log_normalised(adata: AnnData, layer: str | None = None) -> AnnData:
    """Return a copy with `.X` = log(1 + counts scaled to 10,000 a cell), float32, obs and var kept."""
    import anndata as ad
    import scanpy as sc

    counts = counts_of(adata, layer)
    x = sp.csr_matrix(counts, dtype=np.float32) if sp.issparse(counts) else np.array(counts, dtype=np.float32)
    copy = ad.AnnData(x.copy(), obs=adata.obs.copy(), var=adata.var[[]].copy())
    sc.pp.normalize_total(copy, target_sum=1e4)
    sc.pp.log1p(copy)
    return copy


def select_hvgs(
    adata: AnnData, n_top_genes: int = 2000, batch_key: str | None = None, layer: str | None = None
) -> AnnData:
    """Return a copy with the genes that vary most (scanpy's "seurat_v3", ranked within batches), counts untouched.

    With `n_top_genes` genes or fewer all of them are kept; batches of fewer than 20 cells do not vote.

    Parameters
    ----------
    adata
        Counts, `(n_cells, n_genes)`.
    n_top_genes
        How many genes to keep.
    batch_key, layer
        Genes are ranked in each batch; where the counts are.

    Raises
    ------
    InputError
        Where too many genes have equal means to be ranked.

    Notes
    -----
    Stuart et al., Cell 177, 1888 (2019): variance of the counts standardised by a loess fit of variance on mean.
    """
    import anndata as ad
    import scanpy as sc

    if adata.n_vars <= n_top_genes:
        return adata.copy()
    counts = sp.csr_matrix(counts_of(adata, layer), dtype=np.float32)
    votes = ad.AnnData(counts, obs=adata.obs[[]].copy(), var=adata.var[[]].copy())
    voters = None
    if batch_key is not None:
        require_key(adata, batch_key)
        sizes = adata.obs[batch_key].value_counts()
        large = adata.obs[batch_key].isin(sizes.index[sizes >= 20]).to_numpy()
        if large.any() and adata.obs[batch_key][large].nunique() > 1:
            votes, voters = votes[large].copy(), "batch"
            votes.obs[voters] = adata.obs[batch_key][large].astype(str).astype("category")
    n_top = min(n_top_genes, votes.n_vars)
    with warnings.catch_warnings():
        # denoised or normalised values are ranked too; the model's own audit is what refuses them
        warnings.filterwarnings("ignore", message=".*expects raw count data.*")
        for span in (0.3, 0.6, 1.0):
            try:
                sc.pp.highly_variable_genes(votes, n_top_genes=n_top, flavor="seurat_v3", batch_key=voters, span=span)
                break
            except ValueError:
                # loess is singular where many genes share a mean: a wider span has more of them to fit
                if span == 1.0:
                    raise InputError(
                        f"{n_top} of {adata.n_vars} genes cannot be ranked by their variance: too many genes have equal "
                        "means; leave out genes found in a few cells, or keep all genes"
                    ) from None
    return adata[:, votes.var["highly_variable"].to_numpy()].copy()


def unintegrated_pca(adata: AnnData, layer: str | None = None, n_components: int = 50) -> np.ndarray:
    """Return PCA of the log-normalised counts, `(n_cells, <= n_components)` float32: what integration starts from.

    Parameters
    ----------
    adata, layer
        Cells, and where their counts are.
    n_components
        How many, at most.

    Raises
    ------
    InputError
        Where there are too few cells or genes.
    """
    import scanpy as sc

    log = log_normalised(adata, layer)
    n = min(n_components, min(log.shape) - 1)
    if n < 1:
        raise InputError(f"PCA needs two cells and two genes or more, not {log.n_obs} x {log.n_vars}")
    return np.asarray(sc.pp.pca(log.X, n_comps=n, svd_solver="arpack", random_state=0), dtype=np.float32)
