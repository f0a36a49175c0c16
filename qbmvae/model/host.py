"""What the parts of `QBMVAE` ask of the whole: attributes of scvi-tools' base class and of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    import torch
    from anndata import AnnData
    from scvi.data import AnnDataManager

    import samplers
    from qbmvae.core.priors.base import DiscretePrior
    from qbmvae.core.training.trainer import Trainer
    from qbmvae.core.vae import Batch
    from qbmvae.data.disk_source import BlockSource
    from qbmvae.data.memory_source import MemorySource
    from qbmvae.model.module import QBMVAEModule


class Host:
    """The base of every part; it declares and does nothing: scvi-tools' classes carry no types of their own."""

    module: QBMVAEModule
    trainer: Trainer
    is_trained_: bool
    history_: dict[str, pd.DataFrame] | None
    train_indices_: np.ndarray | None
    validation_indices_: np.ndarray | None
    test_indices_: np.ndarray | None
    registry_: dict[str, Any]
    init_params_: dict[str, Any]
    #: library sizes and covariate codes of training cells, once they have been asked for
    library_table_: tuple[np.ndarray, np.ndarray] | None
    #: the sampler's specification, without credentials; None for an object
    sampler_: str | None
    _sampler: samplers.Sampler
    #: totals of data on disk, by the identity of the AnnData
    _libraries: dict[int, np.ndarray]
    #: whether the weights are those of the constructor
    _fresh: bool

    if TYPE_CHECKING:

        def __init__(self, adata: AnnData | None = None, registry: dict | None = None, **options: Any): ...

        # of scvi-tools
        @property
        def adata(self) -> AnnData | None: ...
        @property
        def adata_manager(self) -> AnnDataManager: ...
        @property
        def device(self) -> torch.device: ...
        @property
        def minified_data_type(self) -> str | None: ...
        @classmethod
        def load(cls, dir_path: str | Path, adata: Any = None, **kwargs: Any) -> Any: ...
        @classmethod
        def register_manager(cls, manager: AnnDataManager) -> None: ...
        @classmethod
        def _get_fields_for_adata_minification(cls, minified: str) -> list[Any]: ...
        @classmethod
        def _get_setup_method_args(cls, **arguments: Any) -> dict[str, Any]: ...
        def save(self, dir_path: str | Path, prefix: str | None = None, overwrite: bool = False, **kw: Any) -> None: ...
        def get_var_names(self) -> Sequence[str]: ...
        def get_anndata_manager(self, adata: AnnData, required: bool = False) -> AnnDataManager: ...
        def _check_if_trained(self, warn: bool = True) -> None: ...

        # of one part for another
        @classmethod
        def setup_anndata(cls, adata: AnnData, **kwargs: Any) -> None: ...
        def _build(self, seed: int) -> None: ...
        def _validate_anndata(self, adata: AnnData | None = None, copy_if_view: bool = True) -> AnnData: ...
        def _source(self, adata: AnnData | None = None, indices: Any = None) -> MemorySource | BlockSource: ...
        def _batches(self, adata: Any, indices: Any, batch_size: int | None) -> Iterator[Batch]: ...
        def _posterior_parameters(self, adata: Any, indices: Any, batch_size: int | None) -> torch.Tensor: ...
        def _fix_expression_axes(self, seed: int) -> None: ...
        def _boltzmann(self, what: str) -> DiscretePrior: ...
        def _measure_log_partition(self, seed: int) -> tuple[float, float]: ...
        def _library_table(self) -> tuple[np.ndarray, np.ndarray, list[Any]]: ...
        def _freeze_for_query(self) -> None: ...
