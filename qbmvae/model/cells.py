"""The one door by which cells reach a model: register an AnnData, check and align it, read it as minibatches.

Every function takes the model (or its class) as scvi-tools' base class offers it: `adata`, `adata_manager`, `registry_`,
`module`, `get_var_names()`, `minified_data_type`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
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
from scvi.model.base import BaseMinifiedModeModelClass as Model

from qbmvae.core.batch import Batch
from qbmvae.data import align, audit
from qbmvae.data.atlas import rows_of
from qbmvae.data.disk_source import BlockSource
from qbmvae.data.memory_source import MemorySource
from qbmvae.data.scan import survey
from samplers.errors import InputError, nearest

#: Cells encoded at once, and training cells whose library sizes are kept for generation.
BATCH_SIZE, LIBRARIES = 1024, 5000


def register(
    cls: type[Model],
    adata: AnnData,
    *,
    layer: str | None,
    batch_key: str | None,
    labels_key: str | None,
    size_factor_key: str | None,
    categorical_covariate_keys: list[str] | None,
    continuous_covariate_keys: list[str] | None,
    **kwargs: Any,
) -> None:
    """Check an AnnData and register it with a model class; parameters as in `QBMVAE.setup_anndata`."""
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


def sizes(model: Model) -> dict[str, Any]:
    """Return the sizes of the module that the data fix: genes, categories of each covariate, continuous covariates."""
    stats = model.summary_stats
    extra: tuple[int, ...] = ()
    if stats.get("n_extra_categorical_covs", 0):
        extra = tuple(
            model.registry_["field_registries"][REGISTRY_KEYS.CAT_COVS_KEY]["state_registry"]["n_cats_per_key"]
        )
    return {
        "n_input": stats.n_vars,
        "n_categories": (stats.n_batch, *extra),
        "n_continuous": stats.get("n_extra_continuous_covs", 0),
    }


def batch_names(registry: dict[str, Any]) -> list[str]:
    """Return the names of the batches, in the order of their codes."""
    state = registry["field_registries"][REGISTRY_KEYS.BATCH_KEY]["state_registry"]
    return [str(name) for name in state["categorical_mapping"]]


def check(model: Model, adata: AnnData, likelihood: str, training: bool = False) -> None:
    """Refuse unusable counts, naming the rows; data on disk are read once, and their library sizes kept.

    Parameters
    ----------
    model
        The model whose registration says which layer holds the counts.
    adata
        The cells.
    likelihood
        The model's; only "gaussian" takes values that are no counts.
    training
        Whether the cells are trained on: then a gene without a count is refused too.
    """
    layer = model.registry_["setup_args"]["layer"]
    if (store := rows_of(adata, layer)) is not None:
        name = "X" if layer is None else layer
        found = survey(store, adata.obs_names, adata.var_names, counts=likelihood != "gaussian", name=name)
        model.disk_libraries[id(adata)] = found.library
        return
    x = audit.layer_of(adata, layer)
    counts = likelihood != "gaussian"
    audit.matrix(x, counts=counts, layer=layer, obs_names=adata.obs_names, var_names=adata.var_names)
    if counts:
        # a gene may well be silent in data that are only embedded
        genes = adata.var_names if training else None
        audit.empty(x, layer=layer, obs_names=adata.obs_names, var_names=genes)


def validated(model: Model, adata: AnnData | None) -> AnnData | None:
    """Return cells that the model can read: None for its own, else the cells aligned by gene names and checked by category."""
    if adata is None or adata is model.adata:
        if model.adata is None:
            raise InputError("this model has no data of its own: pass adata=")
        return None
    if model.get_anndata_manager(adata) is not None:
        return adata
    audit.names(adata)
    columns = align.genes(adata.var_names, model.get_var_names())
    if columns is not None and rows_of(adata, None) is not None:
        raise InputError("the file holds more genes than the model: use open_atlas(..., genes=model.get_var_names())")
    if columns is not None:
        adata = adata[:, columns].copy()
    setup = model.registry_["setup_args"]
    mappings = model.registry_["field_registries"]
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
        check(model, adata, model.module.vae.gene_likelihood)
    return adata


def source(model: Model, adata: AnnData | None = None, indices: Any = None) -> MemorySource | BlockSource:
    """Return cells of the model's or other data as a source of minibatches, in the order of `obs_names`.

    Parameters
    ----------
    model
        The model.
    adata
        Other cells than the model's own.
    indices
        Rows, or a boolean mask; all by default.
    """
    adata = model._validate_anndata(adata)
    manager = model.get_anndata_manager(adata, required=True)
    store = rows_of(adata, model.registry_["setup_args"]["layer"])
    x = None if store is not None else manager.get_from_registry(REGISTRY_KEYS.X_KEY)
    registered = manager.data_registry
    if REGISTRY_KEYS.SIZE_FACTOR_KEY in registered:
        library = manager.get_from_registry(REGISTRY_KEYS.SIZE_FACTOR_KEY)
    elif REGISTRY_KEYS.OBSERVED_LIB_SIZE in registered:
        library = manager.get_from_registry(REGISTRY_KEYS.OBSERVED_LIB_SIZE)
    else:
        library = x.sum(axis=1) if x is not None else model.disk_libraries[id(adata)]
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


def batches(
    model: Model, adata: AnnData | None = None, indices: Any = None, batch_size: int | None = None
) -> Iterator[Batch]:
    """Return minibatches of cells in order, the module in evaluation mode; parameters as in `source`."""
    cells = source(model, adata, indices)
    if not len(cells):
        return iter(())
    model.module.eval()
    return cells.epoch(batch_size or BATCH_SIZE, None, device=model.device)


def is_minified(model: Model, adata: AnnData | None) -> bool:
    """Return whether these are the model's own cells, of which only the posterior's parameters are kept."""
    return model.minified_data_type is not None and (adata is None or adata is model.adata)


def posteriors(
    model: Model, adata: AnnData | None = None, indices: Any = None, batch_size: int | None = None
) -> Iterator[tuple[torch.Tensor, Batch | None]]:
    """Yield the posterior's parameters on the CPU with the cells that they belong to; minified data have no counts.

    Parameters as in `batches`. Minified data come in one part.
    """
    vae = model.module.vae
    if not is_minified(model, adata):
        for batch in batches(model, adata, indices, batch_size):
            yield vae.encode(batch.x, batch.covariates).cpu(), batch
        return
    manager = model.adata_manager
    q = torch.from_numpy(np.asarray(manager.get_from_registry("latent_qzm"), dtype=np.float32))
    variance = torch.from_numpy(np.asarray(manager.get_from_registry("latent_qzv"), dtype=np.float32))
    rows = slice(None) if indices is None else np.asarray(indices)
    if vae.prior.discrete:
        yield torch.logit(q.clamp(1e-6, 1 - 1e-6))[rows], None
    else:
        yield torch.cat([q, variance.clamp(min=1e-8).log()], -1)[rows], None


def posterior(
    model: Model, adata: AnnData | None = None, indices: Any = None, batch_size: int | None = None
) -> torch.Tensor:
    """Return bit logits, or location and log variance, `(n_cells, ...)` on the CPU; parameters as in `batches`."""
    parts = [parameters for parameters, _ in posteriors(model, adata, indices, batch_size)]
    return torch.cat(parts) if parts else torch.zeros(0, model.module.vae.posterior.out_features)


def libraries(model: Model, training: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return library sizes, `(n,)`, and covariate codes, `(n, n_covariates)`, of some training cells.

    Parameters
    ----------
    model
        The model.
    training
        Rows of the training cells; all cells by default.
    """
    cells = source(model)
    rows = cells.rows if training is None else training
    # a few thousand cells describe the sizes: an export carries them
    rows = np.random.default_rng(0).permutation(rows)[:LIBRARIES]
    return np.asarray(cells.library)[rows], np.stack([c[rows] for c in cells.categories], axis=1)


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
