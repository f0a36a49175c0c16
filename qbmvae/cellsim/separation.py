"""How far cell types lie apart: the paper's PCA and UMAP, with silhouette and neighbours' purity under the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qbmvae.cellsim.expression import counts_of, log_normalised, scaled
from samplers.errors import InputError, nearest, require

if TYPE_CHECKING:
    from anndata import AnnData


def embed(adata: AnnData, n_pcs: int = 10, seed: int = 0, umap: bool = True, layer: str | None = None) -> None:
    """Write `.obsm["X_pca"]` and `.obsm["X_umap"]` of normalised, logged and scaled counts (10 PCs, 10 neighbours).

    Parameters
    ----------
    adata
        Counts; written to.
    n_pcs
        Principal components.
    seed
        Of PCA and UMAP.
    umap
        Whether to make the UMAP, which takes most of the time.
    layer
        Layer with the counts; `.X` by default.
    """
    import anndata
    import scanpy as sc

    values = scaled(log_normalised(counts_of(adata, layer)).toarray())
    work = anndata.AnnData(X=values.astype(np.float32), obs=adata.obs[[]])
    sc.pp.pca(work, n_comps=min(n_pcs, min(values.shape) - 1), random_state=seed)
    adata.obsm["X_pca"] = work.obsm["X_pca"]
    if umap:
        sc.pp.neighbors(work, n_neighbors=10, random_state=seed)
        sc.tl.umap(work, random_state=seed)
        adata.obsm["X_umap"] = work.obsm["X_umap"]


def separation(adata: AnnData, basis: str = "X_pca", label_key: str = "cell_type", k: int = 15) -> dict[str, float]:
    """Return "silhouette" of the labels and "knn_purity": the mean share of a cell's k neighbours with its label.

    Parameters
    ----------
    adata
        Cells with the coordinates `.obsm[basis]`.
    basis
        "X_pca" or "X_umap", as `embed` writes them.
    label_key
        Column of `.obs`.
    k
        Neighbours of a cell, itself not counted.

    Raises
    ------
    InputError
        Where the coordinates or the column are not there.
    """
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    if basis not in adata.obsm:
        raise InputError(f"there is no obsm[{basis!r}]: run embed first{nearest(basis, adata.obsm)}")
    require(label_key, adata.obs, "obs has no column", adata.obs.columns)
    points, labels = np.asarray(adata.obsm[basis]), adata.obs[label_key].astype(str).to_numpy()
    neighbours = NearestNeighbors(n_neighbors=min(k, len(points) - 1) + 1).fit(points).kneighbors(return_distance=False)
    # the first neighbour is the cell itself, or one at the same place
    purity = (labels[neighbours[:, 1:]] == labels[:, None]).mean()
    return {
        "silhouette": float(silhouette_score(points, labels, sample_size=min(len(points), 5000), random_state=0))
    } | {"knn_purity": float(purity)}
