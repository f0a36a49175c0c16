"""What `QBMVAE` does with an AnnData: registers it, checks it, and reads it as minibatches."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data._utils import _get_adata_minify_type
from scvi.data.fields import (
    CategoricalJointObsField,
    CategoricalObsField,
    LayerField,
    NumericalJointObsField,
    NumericalObsField,
)

from qbmvae.data import align, audit
from qbmvae.data.atlas import rows_of
from qbmvae.data.disk_source import BlockSource
from qbmvae.data.memory_source import MemorySource
from qbmvae.data.scan import survey
from qbmvae.model.host import Host
from samplers.errors import InputError, nearest


class RegistrationMixin(Host):
    """The data of `QBMVAE`."""

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        batch_key: str | None = None,
        labels_key: str | None = None,
        size_factor_key: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Register an AnnData: say where the counts and the covariates are.

        Parameters
        ----------
        adata
            Cells by genes; CSR or dense counts (or log-normalised values for `gene_likelihood="gaussian"`).
        layer
            Layer with the counts; X by default.
        batch_key
            Column of `adata.obs` with the batch.
        labels_key
            Column with labels; the model does not use them, scvi-tools' tools do.
        size_factor_key
            Column with size factors, used in the place of total counts.
        categorical_covariate_keys, continuous_covariate_keys
            Further covariates of the decoder.
        **kwargs
            Passed on to `AnnDataManager.register_fields`.

        Raises
        ------
        InputError
            For missing layers and columns (with the nearest names), missing values and duplicated names.
        """
        minified = _get_adata_minify_type(adata)
        audit.names(adata)
        audit.keys(adata, [batch_key], "batch_key")
        if kwargs.get("source_registry") is None:
            audit.keys(adata, [labels_key], "labels_key")
        audit.keys(adata, [size_factor_key], "size_factor_key")
        audit.keys(adata, categorical_covariate_keys or [], "categorical_covariate_keys")
        audit.keys(adata, continuous_covariate_keys or [], "continuous_covariate_keys")
        for key in [size_factor_key, *(continuous_covariate_keys or [])]:
            _check_numbers(adata, key, positive=key == size_factor_key)
        x = audit.layer_of(adata, layer)
        if minified is None and rows_of(adata, layer) is None:
            # data on disk are audited in one pass when the model is made
            audit.matrix(x, counts=False, layer=layer, obs_names=adata.obs_names, var_names=adata.var_names)
        setup_method_args = cls._get_setup_method_args(
            cls=cls,
            adata=adata,
            layer=layer,
            batch_key=batch_key,
            labels_key=labels_key,
            size_factor_key=size_factor_key,
            categorical_covariate_keys=categorical_covariate_keys,
            continuous_covariate_keys=continuous_covariate_keys,
        )
        fields = [
            # our own audit says more than the loader's warning
            LayerField(REGISTRY_KEYS.X_KEY, layer, is_count_data=False),
            CategoricalObsField(REGISTRY_KEYS.BATCH_KEY, batch_key),
            CategoricalObsField(REGISTRY_KEYS.LABELS_KEY, labels_key),
            NumericalObsField(REGISTRY_KEYS.SIZE_FACTOR_KEY, size_factor_key, required=False),
            CategoricalJointObsField(REGISTRY_KEYS.CAT_COVS_KEY, categorical_covariate_keys),
            NumericalJointObsField(REGISTRY_KEYS.CONT_COVS_KEY, continuous_covariate_keys),
        ]
        if minified is not None:
            fields += cls._get_fields_for_adata_minification(minified)
        manager = AnnDataManager(fields=fields, setup_method_args=setup_method_args)
        manager.register_fields(adata, **kwargs)
        cls.register_manager(manager)

    def _setup_args(self) -> dict[str, Any]:
        return self.registry_["setup_args"]

    def _audit(self, adata: AnnData, gene_likelihood: str, training: bool = False) -> None:
        layer = self._setup_args()["layer"]
        if (store := rows_of(adata, layer)) is not None:
            name = "X" if layer is None else layer
            found = survey(store, adata.obs_names, adata.var_names, counts=gene_likelihood != "gaussian", name=name)
            self._libraries[id(adata)] = found.library
            return
        x = audit.layer_of(adata, layer)
        counts = gene_likelihood != "gaussian"
        audit.matrix(x, counts=counts, layer=layer, obs_names=adata.obs_names, var_names=adata.var_names)
        if counts:
            # a gene may well be silent in data that are only embedded
            genes = adata.var_names if training else None
            audit.empty(x, layer=layer, obs_names=adata.obs_names, var_names=genes)

    def _validate_anndata(self, adata: AnnData | None = None, copy_if_view: bool = True) -> AnnData:
        """Return data ready for the model: its own, or other data aligned by gene names and checked by category."""
        if adata is None or adata is self.adata:
            if self.adata is None:
                raise InputError("this model has no data of its own: pass adata=")
            return super()._validate_anndata(None, copy_if_view)
        if self.get_anndata_manager(adata) is not None:
            return super()._validate_anndata(adata, copy_if_view)
        audit.names(adata)
        columns = align.genes(adata.var_names, self.get_var_names())
        if columns is not None and rows_of(adata, None) is not None:
            raise InputError(
                "the file holds more genes than the model: use open_atlas(..., genes=model.get_var_names())"
            )
        if columns is not None:
            adata = adata[:, columns].copy()
        setup = self._setup_args()
        mappings = self.registry_["field_registries"]
        if setup["batch_key"] is not None:
            audit.keys(adata, [setup["batch_key"]], "batch_key")
            known = mappings[REGISTRY_KEYS.BATCH_KEY]["state_registry"]["categorical_mapping"]
            align.categories(adata.obs[setup["batch_key"]], known, setup["batch_key"])
        for key in setup["categorical_covariate_keys"] or []:
            audit.keys(adata, [key], "categorical_covariate_keys")
            known = mappings[REGISTRY_KEYS.CAT_COVS_KEY]["state_registry"]["mappings"][key]
            align.categories(adata.obs[key], known, key)
        if setup["labels_key"] is not None and setup["labels_key"] not in adata.obs:
            # labels are not used: data without them can be embedded
            known = mappings[REGISTRY_KEYS.LABELS_KEY]["state_registry"]["categorical_mapping"]
            adata.obs[setup["labels_key"]] = known[0]
        if _get_adata_minify_type(adata) is None:
            self._audit(adata, self.module.vae.gene_likelihood)
        return super()._validate_anndata(adata, copy_if_view)

    def _source(self, adata: AnnData | None = None, indices: Any = None) -> MemorySource | BlockSource:
        """Return cells of the model's or other data as a source of minibatches, in the order of `obs_names`."""
        adata = self._validate_anndata(adata)
        manager = self.get_anndata_manager(adata, required=True)
        store = rows_of(adata, self._setup_args()["layer"])
        x = None if store is not None else manager.get_from_registry(REGISTRY_KEYS.X_KEY)
        registered = manager.data_registry
        if REGISTRY_KEYS.SIZE_FACTOR_KEY in registered:
            library = manager.get_from_registry(REGISTRY_KEYS.SIZE_FACTOR_KEY)
        elif REGISTRY_KEYS.OBSERVED_LIB_SIZE in registered:
            library = manager.get_from_registry(REGISTRY_KEYS.OBSERVED_LIB_SIZE)
        else:
            library = x.sum(axis=1) if x is not None else self._libraries[id(adata)]
        categories = [manager.get_from_registry(REGISTRY_KEYS.BATCH_KEY)]
        if REGISTRY_KEYS.CAT_COVS_KEY in registered:
            codes = manager.get_from_registry(REGISTRY_KEYS.CAT_COVS_KEY)
            categories += list(np.asarray(codes).T)
        continuous = None
        if REGISTRY_KEYS.CONT_COVS_KEY in registered:
            continuous = np.asarray(manager.get_from_registry(REGISTRY_KEYS.CONT_COVS_KEY))
        rows = check_indices(indices, adata.n_obs)
        library = np.asarray(library).ravel()
        if store is not None:
            return BlockSource(store, categories, continuous, library, rows)
        return MemorySource(x, library, categories, continuous, rows)


def check_indices(indices: Any, n: int) -> np.ndarray | None:
    """Return cell indices as an array, or None; a boolean mask is taken too."""
    if indices is None:
        return None
    indices = np.asarray(indices)
    if indices.dtype == bool:
        if len(indices) != n:
            raise InputError(f"indices is a mask of length {len(indices)}, but there are {n} cells")
        return np.flatnonzero(indices)
    if len(indices) and (indices.min() < -n or indices.max() >= n):
        raise InputError(f"indices reach {indices.max()}, but there are {n} cells")
    return indices.astype(np.int64) % max(n, 1)


def _check_numbers(adata: AnnData, key: str | None, positive: bool) -> None:
    if key is None:
        return
    try:
        values = np.asarray(adata.obs[key], dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"obs column {key!r} is not numeric{nearest(key, adata.obs.columns)}") from None
    bad = np.flatnonzero(~np.isfinite(values) | ((values <= 0) if positive else False))
    if len(bad):
        raise InputError(
            f"obs column {key!r} is {values[bad[0]]} at cell {adata.obs_names[bad[0]]!r} (row {bad[0]}): it must be "
            f"finite{' and positive' if positive else ''}"
        )
