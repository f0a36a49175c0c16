"""Cells and a model: registration, the model's own data, minibatches of any cells that come through the door.

Every function takes the model (or its class) as scvi-tools' base class offers it: `adata`, `registry_`, `module`,
`minified_data_type`; and its `door`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.data import AnnDataManager
from scvi.data._utils import _get_adata_minify_type
from scvi.model.base import BaseMinifiedModeModelClass as Model

from qbmvae import fingerprint
from qbmvae.core.batch import Batch
from qbmvae.core.options import ModelOptions
from qbmvae.core.workers import in_order, threads
from qbmvae.data import audit, counts, label_names
from qbmvae.data.categories import as_text, text_of
from qbmvae.data.counts import Counts
from qbmvae.data.disk_source import BlockSource
from qbmvae.data.likelihood import choose as choose_likelihood
from qbmvae.data.memory_source import MemorySource
from qbmvae.data.notes import note
from qbmvae.data.selection import positions
from qbmvae.model import fields
from qbmvae.model.door import Cells, check_columns, check_object
from samplers.errors import InputError

#: Cells encoded at once, about (each call of a library costs some 20 microseconds, whatever its size), and those for which a
#: thread is worth while.
BATCH_SIZE, SMALL = 4096, 512


def register(cls: type[Model], adata: AnnData, setup: dict[str, Any], registry: dict | None, extend: bool) -> None:
    """Check an AnnData's columns and register them with a model class; the counts are checked when a model is made.

    Parameters
    ----------
    cls
        The class.
    adata
        The cells; scvi-tools' columns are written to its `obs`.
    setup
        Arguments of `QBMVAE.setup_anndata`.
    registry, extend
        What is known of genes and categories, and whether new categories may come in.

    Raises
    ------
    InputError
        For a view of other data, or columns that are not usable.
    """
    check_object(adata)
    if adata.is_view:
        raise InputError(
            "these cells are a view of other data, which registration would copy: run adata = adata.copy() first"
        )
    audit.unique(adata.obs_names, "obs_names (cells)", "adata.obs_names_make_unique()")
    if registry is None:
        audit.unique(adata.var_names, "var_names (genes)", "adata.var_names_make_unique()")
    check_columns(adata, setup, new=registry is None)
    if registry is None:
        label_names.check(adata.obs, setup["labels_key"], setup.get("unlabeled_category"), setup["batch_key"])
    if _get_adata_minify_type(adata) is None:
        counts.matrix_and_genes(adata, setup["layer"])
    manager = AnnDataManager(
        fields=fields.columns(setup), setup_method_args=cls._get_setup_method_args(cls=cls, adata=adata, **setup)
    )
    manager.register_fields(adata, registry, **({"extend_categories": extend} if registry is not None else {}))
    cls.register_manager(manager)


def registered(cls: type[Model], adata: AnnData) -> dict[str, Any]:
    """Return the arguments with which an AnnData was registered.

    Raises
    ------
    InputError
        For what is no AnnData, or was not registered.
    """
    if not isinstance(adata, AnnData):
        raise InputError(f"{cls.__name__} takes an AnnData, not {type(adata).__name__}")
    try:
        return cls._get_most_recent_anndata_manager(adata, required=True).registry["setup_args"]
    except ValueError as error:
        raise InputError("register the data first: QBMVAE.setup_anndata(adata, batch_key=...)") from error


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
        "n_labels": tuple(map(len, label_units(model.registry_).values())),
    }


def label_units(registry: dict[str, Any]) -> dict[str, list[str]]:
    """Return the labels of each column that are units of the machine; no column without `unlabeled_category`."""
    setup = registry["setup_args"]
    unlabelled = setup.get("unlabeled_category")
    if unlabelled is None:
        return {}
    mappings = (
        registry["field_registries"][fields.label_field(k)]["state_registry"]["categorical_mapping"]
        for k in range(len(label_names.keys_of(setup["labels_key"])))
    )
    known = ([text_of(name) for name in mapping if text_of(name) != unlabelled] for mapping in mappings)
    return dict(zip(label_names.keys_of(setup["labels_key"]), known, strict=True))


def batch_names(registry: dict[str, Any]) -> list[str]:
    """Return the names of the batches, in the order of their codes."""
    state = registry["field_registries"][REGISTRY_KEYS.BATCH_KEY]["state_registry"]
    return [str(name) for name in state["categorical_mapping"]]


def with_likelihood(options: ModelOptions, entered: Cells | None) -> ModelOptions:
    """Return options with the likelihood that the cells ask for, where it is "auto", and say why on stderr."""
    if options.gene_likelihood != "auto":
        return options
    if entered is None or entered.counts is None:
        return replace(options, gene_likelihood="nb")
    batch = np.asarray(entered.manager.get_from_registry(REGISTRY_KEYS.BATCH_KEY)).ravel()
    chosen, reason = choose_likelihood(entered.counts, batch)
    note(f"likelihood {chosen!r}: {reason}")
    return replace(options, gene_likelihood=chosen)


def enter(model: Model, adata: AnnData | None) -> Cells:
    """Return cells that came through the model's door: its own by default.

    Raises
    ------
    InputError
        Where neither the call nor the model holds cells, or they do not fit the model.
    """
    if adata is None and model.adata is None:
        raise InputError("this model has no data of its own: pass adata=")
    own = adata is None or adata is model.adata
    return model.door.enter(model.adata if own else adata, model.registry_["setup_args"], model.registry_, own=own)


def rows_of(cells: Cells, indices: Any) -> np.ndarray | None:
    """Return the positions of the cells that a selection means; None for all."""
    return positions(indices, cells.obs_names)


def counts_of(cells: Cells) -> Counts:
    """Return the counts of cells; minified data have none, which raises `InputError`.

    Raises
    ------
    InputError
        For minified data.
    """
    if cells.counts is None:
        raise InputError("minified data hold no counts")
    return cells.counts


def source(model: Model, adata: AnnData | None = None, indices: Any = None) -> MemorySource | BlockSource:
    """Return cells of the model's or other data as a source of minibatches, in the order of `obs_names`.

    Parameters
    ----------
    model
        The model.
    adata
        Other cells than the model's own.
    indices
        Which cells, see `selection.positions`; all by default.
    """
    cells = enter(model, adata)
    counts, manager = counts_of(cells), cells.manager
    registered = manager.data_registry
    library = counts.library
    if REGISTRY_KEYS.SIZE_FACTOR_KEY in registered:
        library = np.asarray(manager.get_from_registry(REGISTRY_KEYS.SIZE_FACTOR_KEY)).ravel()
    if model.door.count_data:
        # a cell without counts: any total above zero keeps its likelihood finite
        library = np.where(library > 0, library, 1.0)
    categories = [np.asarray(manager.get_from_registry(REGISTRY_KEYS.BATCH_KEY)).ravel()]
    if REGISTRY_KEYS.CAT_COVS_KEY in registered:
        categories += list(np.asarray(manager.get_from_registry(REGISTRY_KEYS.CAT_COVS_KEY)).T)
    continuous = None
    if REGISTRY_KEYS.CONT_COVS_KEY in registered:
        continuous = np.asarray(manager.get_from_registry(REGISTRY_KEYS.CONT_COVS_KEY))
    rows = rows_of(cells, indices)
    if counts.store is not None:
        return BlockSource(counts.store, categories, continuous, library, rows)
    return MemorySource(counts.rows, library, categories, continuous, rows)


def contents(model: Model, adata: AnnData | None = None) -> dict[str, list[int]]:
    """Return checksums of what cells hold, the same for every container and file that holds it.

    Parameters
    ----------
    model, adata
        As in `source`.
    """
    cells = enter(model, adata)
    found = {"counts": list(counts_of(cells).checksum)}
    setup = model.registry_["setup_args"]
    for key, name in (("batch_key", "batches"), ("size_factor_key", "size factors")):
        if (column := setup[key]) is not None:
            found[name] = [fingerprint.of_column(as_text(cells.obs[column]))]
    for key in ("categorical_covariate_keys", "continuous_covariate_keys"):
        if wanted := setup[key]:
            name = key.removesuffix("_keys").replace("_", " ") + "s"
            found[name] = [fingerprint.of_column(as_text(cells.obs[column])) for column in wanted]
    return found


def empty(model: Model, adata: AnnData | None = None) -> np.ndarray:
    """Return the positions of cells that have no count at all.

    Parameters
    ----------
    model, adata
        As in `source`.
    """
    cells = enter(model, adata)
    return np.flatnonzero(counts_of(cells).library == 0) if model.door.count_data else np.zeros(0, dtype=np.int64)


def batches(
    model: Model, adata: AnnData | None = None, indices: Any = None, batch_size: int | None = None
) -> Iterator[Batch]:
    """Return minibatches of cells in order, the module in evaluation mode; parameters as in `source`.

    Parameters
    ----------
    model, adata, indices, batch_size
        As in `source`.
    """
    cells = source(model, adata, indices)
    if not len(cells):
        return iter(())
    model.module.eval()
    if batch_size is None:
        # as many parts as keep every thread busy to the end
        working = max(1, min(threads(model.device), len(cells) // SMALL))
        batch_size = -(-len(cells) // (working * max(1, round(len(cells) / (working * BATCH_SIZE)))))
    return cells.epoch(batch_size, None, device=model.device)


def posteriors(
    model: Model,
    adata: AnnData | None = None,
    indices: Any = None,
    batch_size: int | None = None,
    then: Callable[[tuple[torch.Tensor, Batch | None]], Any] = lambda part: part,
) -> Iterator[Any]:
    """Yield the posterior's parameters on the CPU with the cells that they belong to; minified data have no counts.

    Parameters as in `batches`. Minified data come in one part.

    Parameters
    ----------
    model, adata, indices, batch_size
        As in `source`.
    then
        What to make of each pair, in the thread that encoded it; the pair itself by default.
    """
    vae, cells = model.module.vae, enter(model, adata)
    if cells.counts is not None:
        found = batches(model, cells, indices, batch_size)
        encoded = lambda batch: then((vae.encode(batch.x, batch.covariates).cpu(), batch))  # noqa: E731
        yield from in_order(encoded, found, threads(model.device))
        return
    manager = cells.manager
    q = torch.from_numpy(np.asarray(manager.get_from_registry("latent_qzm"), dtype=np.float32))
    variance = torch.from_numpy(np.asarray(manager.get_from_registry("latent_qzv"), dtype=np.float32))
    rows = rows_of(cells, indices)
    chosen = slice(None) if rows is None else rows
    kept = (
        torch.logit(q.clamp(1e-6, 1 - 1e-6))
        if vae.prior.discrete
        else torch.cat([q, variance.clamp(min=1e-8).log()], -1)
    )
    yield then((kept[chosen], None))


def posterior(
    model: Model, adata: AnnData | None = None, indices: Any = None, batch_size: int | None = None
) -> torch.Tensor:
    """Return bit logits, or location and log variance, `(n_cells, ...)` on the CPU; parameters as in `batches`.

    Parameters
    ----------
    model, adata, indices, batch_size
        As in `source`.
    """
    parts = [parameters for parameters, _ in posteriors(model, adata, indices, batch_size)]
    return torch.cat(parts) if parts else torch.zeros(0, model.module.vae.posterior.out_features)
