"""scvi-tools' own methods about cells, which go through the door as ours do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data._constants import _ADATA_MINIFY_TYPE_UNS_KEY, ADATA_MINIFY_TYPE
from scvi.model.base import BaseMinifiedModeModelClass, RNASeqMixin
from scvi.model.base import BaseMinifiedModeModelClass as Model

from qbmvae.core.csr import CsrBlock
from qbmvae.data import audit
from qbmvae.data.categories import text_of
from qbmvae.data.disk_source import BlockSource
from qbmvae.data.memory_source import MemorySource
from qbmvae.data.selection import positions
from qbmvae.model import cells
from qbmvae.model.door import LIBRARY, Door, genes_of
from samplers.errors import InputError, nearest


class ScviMethods(RNASeqMixin, BaseMinifiedModeModelClass):
    """Methods of scvi-tools that take cells, batches or genes."""

    door: Door

    # -- what scvi-tools asks of a model's data -----------------------------------------------------------------------

    @property
    def adata(self) -> AnnData | None:
        """The user's own object; it is never written to. Setting it attaches other cells to the model."""
        return self._adata

    @adata.setter
    def adata(self, adata: AnnData) -> None:
        self._attach(adata)

    def _attach(self, adata: AnnData) -> None:
        """Make these cells the model's own: they come through the door, and are remembered as they are now."""
        entered = self.door.enter(adata, self.registry_["setup_args"], self.registry_)
        self._adata, self._adata_manager = adata, entered.manager
        # scvi-tools looks here for a model's registrations: ours live with the cells, so that they end with them
        type(self)._per_instance_manager_store.setdefault(self.id, {})
        # data that keep their counts are read as any others
        self.module.minified_data_type = self.minified_data_type if entered.counts is None else None

    def get_var_names(self, legacy_mudata_format: bool = False) -> np.ndarray:
        """Return the names of the model's genes, in its order."""
        return genes_of(self.registry_)

    def get_anndata_manager(self, adata: AnnData | None, required: bool = False) -> AnnDataManager | None:
        """Return the registration of cells with this model."""
        return None if adata is None else cells.enter(self, adata).manager

    def _validate_anndata(self, adata: AnnData | None = None, copy_if_view: bool = True) -> AnnData:
        return cells.enter(self, adata)

    def _make_data_loader(
        self,
        adata: AnnData,
        indices: Any = None,
        batch_size: int | None = None,
        shuffle: bool = False,
        data_loader_class: Any = None,
        **options: Any,
    ) -> Any:
        entered = cells.enter(self, adata)
        rows = cells.rows_of(entered, indices)
        if entered.counts is None:
            return super()._make_data_loader(
                entered,
                np.arange(entered.n_obs) if rows is None else rows,
                batch_size,
                shuffle,
                data_loader_class,
                **options,
            )
        if options or shuffle or data_loader_class is not None:
            named = [*options, *(["shuffle"] if shuffle else []), *(["data_loader_class"] if data_loader_class else [])]
            raise InputError(f"there is no option {named[0]!r} here: cells are read in order by qbmvae's own loader")
        return Loader(cells.source(self, entered, rows), batch_size or cells.BATCH_SIZE)

    # -- scvi-tools' methods, their selections and names checked ------------------------------------------------------

    def get_normalized_expression(
        self, adata: AnnData | None = None, indices: Any = None, transform_batch: Any = None, *args: Any, **options: Any
    ) -> np.ndarray | pd.DataFrame:
        """Return decoded expression as scvi-tools does; `indices` is any selection, unknown batches and genes are named.

        Parameters
        ----------
        adata, indices
            Cells, see `get_latent_representation`.
        transform_batch
            Batch to decode for, or several to average over; each cell's own by default.
        *args, **options
            Those of scvi-tools' method, in its order: gene_list, library_size, n_samples, ...
        """
        entered, rows, batch = self._asked(adata, indices, transform_batch)
        genes = args[0] if args else options.get("gene_list")
        if genes is not None:
            _check_genes(self.get_var_names(), genes)
        return super().get_normalized_expression(entered, rows, batch, *args, **options)

    def posterior_predictive_sample(
        self, adata: AnnData | None = None, indices: Any = None, transform_batch: Any = None, *args: Any, **options: Any
    ) -> Any:
        """Draw counts given the cells' codes, with the cells' own covariates, as scvi-tools does.

        Parameters
        ----------
        adata, indices, transform_batch
            As in `get_normalized_expression`.
        *args, **options
            Those of scvi-tools' method, in its order: n_samples, gene_list, batch_size, ...
        """
        entered, rows, batch = self._asked(adata, indices, transform_batch)
        return super().posterior_predictive_sample(entered, rows, batch, *args, **options)

    def get_likelihood_parameters(
        self, adata: AnnData | None = None, indices: Any = None, *args: Any, **options: Any
    ) -> dict[str, np.ndarray]:
        """Return the likelihood's parameters as scvi-tools does; parameters as there."""
        entered, rows, _ = self._asked(adata, indices, None)
        return super().get_likelihood_parameters(entered, rows, *args, **options)

    def get_latent_library_size(self, adata: AnnData | None = None, indices: Any = None) -> np.ndarray:
        """Return each cell's library size, `(n_cells, 1)`: observed, or its size factor on the scale of counts."""
        found = cells.source(self, adata, indices)
        return np.asarray(found.library, dtype=np.float32)[found.rows, None]

    def get_feature_correlation_matrix(
        self, adata: AnnData | None = None, indices: Any = None, **options: Any
    ) -> pd.DataFrame:
        """Return correlations of genes as scvi-tools does; parameters as there."""
        entered, rows, batch = self._asked(adata, indices, options.pop("transform_batch", None))
        return super().get_feature_correlation_matrix(entered, rows, transform_batch=batch, **options)

    def differential_expression(
        self, adata: AnnData | None = None, *args: Any, idx1: Any = None, idx2: Any = None, **options: Any
    ) -> pd.DataFrame:
        """Compare groups of cells as scvi-tools does; `idx1` and `idx2` are any selection, or a query of `obs`.

        Parameters
        ----------
        adata
            The model's own data by default.
        *args, **options
            Those of scvi-tools' method: groupby, group1, group2, mode, delta, ...
        idx1, idx2
            Cells of the two groups, where they are not columns of `obs`.

        Raises
        ------
        InputError
            For an unknown column, or groups that share cells.
        """
        entered = cells.enter(self, adata)
        if (key := args[0] if args else options.get("groupby")) is not None and key not in entered.obs:
            raise InputError(f"groupby: adata.obs has no column {key!r}{nearest(key, audit.own_columns(entered))}")
        rows = [
            value if value is None or isinstance(value, str) else positions(value, entered.obs_names, name)
            for name, value in (("idx1", idx1), ("idx2", idx2))
        ]
        first, second = rows
        listed = [r for r in rows if isinstance(r, np.ndarray)]
        if len(listed) == 2 and len(both := np.intersect1d(listed[0], listed[1])):
            raise InputError(
                f"idx1 and idx2 share {len(both)} cells, first {entered.obs_names[both[0]]!r}: compare groups apart"
            )
        return super().differential_expression(entered, *args, idx1=first, idx2=second, **options)

    def _asked(self, adata: AnnData | None, indices: Any, batch: Any) -> tuple[cells.Cells, np.ndarray | None, Any]:
        """Return cells, rows and batch as scvi-tools takes them."""
        entered = cells.enter(self, adata)
        return entered, cells.rows_of(entered, indices), known_batches(self.registry_, batch)


class Loader:
    """Minibatches in the form of scvi-tools' loaders, for the methods that it lends us.

    Parameters
    ----------
    cells
        The cells.
    batch_size
        Cells a minibatch.
    """

    def __init__(self, cells: MemorySource | BlockSource, batch_size: int):
        self._cells, self._batch_size = cells, batch_size

    def __len__(self) -> int:
        return self._cells.steps(self._batch_size)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield tensors by the registry's names; the library size stands where a size factor would."""
        for batch in self._cells.epoch(self._batch_size, None) if len(self._cells) else ():
            first, *others = batch.covariates.categories
            tensors = {
                REGISTRY_KEYS.X_KEY: batch.x.dense() if isinstance(batch.x, CsrBlock) else batch.x,
                REGISTRY_KEYS.BATCH_KEY: first.unsqueeze(-1),
                REGISTRY_KEYS.LABELS_KEY: torch.zeros_like(first).unsqueeze(-1),
                REGISTRY_KEYS.SIZE_FACTOR_KEY: batch.library.unsqueeze(-1),
            }
            if others:
                tensors[REGISTRY_KEYS.CAT_COVS_KEY] = torch.stack(others, dim=1)
            if batch.covariates.continuous is not None:
                tensors[REGISTRY_KEYS.CONT_COVS_KEY] = batch.covariates.continuous
            yield tensors


def known_batches(registry: dict[str, Any], wanted: Any) -> Any:
    """Return batches as the registry holds them; unknown ones are named.

    Parameters
    ----------
    registry
        The model's.
    wanted
        One batch or several, of any type; None among them means each cell's own.

    Raises
    ------
    InputError
        For a batch that the model does not know.
    """
    known = registry["field_registries"][REGISTRY_KEYS.BATCH_KEY]["state_registry"]["categorical_mapping"]
    table = {text_of(value): value for value in known}
    several = isinstance(wanted, list | tuple | np.ndarray | set)
    for name in wanted if several else [wanted]:
        if name is not None and text_of(name) not in table:
            raise InputError(f"the model knows no batch {name!r}{nearest(name, table)}")
    found = [None if name is None else table[text_of(name)] for name in (wanted if several else [wanted])]
    return found if several else found[0]


def _check_genes(known: np.ndarray, wanted: Sequence[str]) -> None:
    """Name a gene that the model does not have."""
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    unknown = [gene for gene in wanted if gene not in set(known)]
    if unknown:
        raise InputError(f"gene_list: the model has no gene {unknown[0]!r}{nearest(unknown[0], known)}")


def minified(model: Model, kind: str, moments: tuple[np.ndarray, np.ndarray], extra: dict[str, np.ndarray]) -> AnnData:
    """Return the model's cells without counts, the posterior's parameters in their place.

    Parameters
    ----------
    model
        The model.
    kind
        Of scvi-tools' kinds of minified data.
    moments
        The posterior's mean and variance.
    extra
        Further arrays for `obsm`.

    Raises
    ------
    InputError
        For a kind that keeps counts, where these are on disk.
    """
    own, adata = cells.enter(model, None), model.adata
    with_counts = kind == ADATA_MINIFY_TYPE.LATENT_POSTERIOR_WITH_COUNTS
    kept = cells.counts_of(own).rows if with_counts else None
    if with_counts and kept is None:
        raise InputError(f"{kind} keeps the counts in memory, and these are on disk: leave out minified_data_type")
    shown = [c for c in own.obs if not str(c).startswith("_scvi")]
    x = kept if with_counts else sp.csr_matrix(own.shape, dtype=np.float32)
    obsm, uns = ({k: v for k, v in part.items() if not k.startswith("_scvi")} for part in (adata.obsm, adata.uns))
    small = AnnData(x, obs=own.obs[shown].copy(), var=own.var.copy(), obsm=obsm, uns=uns)
    small.uns[_ADATA_MINIFY_TYPE_UNS_KEY] = kind
    small.obs[LIBRARY] = cells.source(model).library
    small.obsm[model._LATENT_QZM_KEY], small.obsm[model._LATENT_QZV_KEY] = moments
    for key, values in extra.items():
        small.obsm[key] = values
    return small
