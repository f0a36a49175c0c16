"""Labels of `QBMVAE`: their names, the fit of their units when training ends, predictions of cells."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from scvi.data import AnnDataManager
from scvi.model.base import BaseMinifiedModeModelClass as Model

from qbmvae.core.labels.fit import fit_labels
from qbmvae.core.labels.targets import combined, fit_softmax, neighbour_votes, soft_targets
from qbmvae.core.training.config import TrainingConfig
from qbmvae.core.training.supervision import Supervision
from qbmvae.data import audit, label_names
from qbmvae.data.categories import text_of
from qbmvae.model import cells, embedding, fields, library_sizes
from qbmvae.model.label_units import LabelUnits
from samplers.errors import InputError, nearest

METHODS = ("machine", "softmax", "knn")
#: Cells to whose codes the units are fitted, and labelled cells of each label that are kept as neighbours, at most.
CELLS, NEIGHBOURS_KEPT = 20_000, 1_000
#: Steps of the fit; after a short training fewer, down to the second.
STEPS, FEWEST_STEPS = 1000, 300


def codes(model: Model) -> np.ndarray:
    """Return the label codes of each of the model's cells, -1 where there is none, `(n_cells, n_columns)`."""
    found = []
    for k, known in enumerate(cells.label_units(model.registry_).values()):
        field, position = fields.label_field(k), {name: code for code, name in enumerate(known)}
        mapping = model.registry_["field_registries"][field]["state_registry"]["categorical_mapping"]
        units = np.array([position.get(text_of(name), -1) for name in mapping])
        found.append(units[np.asarray(model.adata_manager.get_from_registry(field)).ravel().astype(np.int64)])
    return np.stack(found, axis=1)


def units_of(model: Model) -> LabelUnits:
    """Return the label units of a model; name what to do where it has none.

    Raises
    ------
    InputError
        Where the model has none; the message says how to add them.
    """
    if model.module.labels is None:
        raise InputError(
            "this model has no label units: register labels with setup_anndata(adata, labels_key=..., "
            "unlabeled_category=...) before training, or add them with QBMVAE.from_unlabeled"
        )
    return model.module.labels


def group_of(model: Model, key: str) -> int:
    """Return the place of a column of labels; name the nearest where there is none of that name.

    Raises
    ------
    InputError
        For a column that the model does not have.
    """
    units_of(model)
    keys = list(cells.label_units(model.registry_))
    if key not in keys:
        raise InputError(f"the model has no labels_key {key!r}{nearest(str(key), keys)}")
    return keys.index(key)


def fit(model: Model, seed: int, steps: int = STEPS, num_chains: int = 1024) -> None:
    """Fit the units to the codes of the model's cells, and keep what the plain methods need; encoder and decoder stay.

    Cells without a label have soft ones: the votes of their labelled neighbours in the default embedding.

    Parameters
    ----------
    model
        A trained model with label units and data.
    seed
        Of everything random.
    steps, num_chains
        Of the fit, see `fit_labels`.
    """
    units, module, known = units_of(model), model.module, codes(model)
    rng = np.random.default_rng(seed)
    # enough labelled cells of each label of each column
    enough = [
        _some(rng, np.flatnonzero(column == code), NEIGHBOURS_KEPT)
        for column in known.T for code in np.unique(column[column >= 0])
    ]  # fmt: skip
    kept = np.unique(np.concatenate(enough))
    others = np.setdiff1d(np.arange(len(known)), kept)
    if model.test_indices_ is not None:
        others = np.setdiff1d(others, model.test_indices_)
    rows = np.sort(np.concatenate([kept, _some(rng, others, max(0, CELLS - len(kept)))]))
    parts = partial(cells.posteriors, model, None, rows)
    with torch.inference_mode():
        found = list(embedding.stream(module, parts, embedding.Wanted(embedding.DEFAULT, align=model.align_batches)))
    parameters = torch.cat([p for p, _ in found]).clone()
    coordinates, own = np.concatenate([x for _, x in found]), known[rows]
    groups = units.machine.groups
    columns = [soft_targets(coordinates, column, n) for column, n in zip(own.T, groups, strict=True)]
    targets = torch.from_numpy(combined(columns))
    units.load_state_dict(LabelUnits(module.vae.prior, groups).state_dict())
    fit_labels(
        units.machine,
        parameters.to(module.device),
        targets.to(module.device),
        steps=steps,
        num_chains=num_chains,
        seed=seed,
    )
    plain = [fit_softmax(torch.sigmoid(parameters), torch.from_numpy(column)) for column in columns]
    units.weight.copy_(torch.cat([weight for weight, _ in plain]))
    units.constant.copy_(torch.cat([constant for _, constant in plain]))
    reference = np.flatnonzero(np.isin(rows, kept))
    model.label_reference_ = coordinates[reference], own[reference]
    # library sizes by label: cells of a type are generated at the depth of that type and of their code
    source, some = cells.source(model), rng.permutation(len(rows))[: library_sizes.LIBRARIES]
    sizes, covariates = np.asarray(source.library), np.stack(source.categories, axis=1)
    numbers = np.zeros((len(sizes), 0)) if source.continuous is None else np.asarray(source.continuous)
    chosen = rows[some]
    own_labels = targets.numpy().argmax(1)[some]
    own_posteriors = library_sizes.halved(parameters[some])
    model.label_libraries_ = sizes[chosen], covariates[chosen], numbers[chosen], own_labels, own_posteriors


def supervision(model: Model, weight: float) -> Supervision | None:
    """Return what labels say to the encoder in training; None for weight 0.

    Raises
    ------
    InputError
        For a model without label units, or one that maps a query.
    """
    if not weight:
        return None
    units = units_of(model)
    if model.keeps_labels_:
        raise InputError("label_weight: what a query calls its cells is not looked at; train it with label_weight=0")
    return Supervision(codes(model), units.machine.groups, model.module.n_latent, weight)


def fit_after(model: Model, config: TrainingConfig) -> None:
    """Fit the units when training ends, in as many steps as it took and no more than `fit` takes."""
    steps = config.max_epochs * -(-len(model.train_indices_) // config.batch_size)
    fit(model, config.seed, min(STEPS, max(FEWEST_STEPS, steps)), 2 * config.num_chains)


@torch.inference_mode()
def probabilities(
    model: Model, adata: Any, indices: Any, batch_size: int | None, method: str, groups: Sequence[int]
) -> list[np.ndarray]:
    """Return label probabilities of cells in some columns, `(n_cells, n_labels)` each; see `QBMVAE.predict`.

    Parameters
    ----------
    model, adata, indices, batch_size, method
        As in `QBMVAE.predict`.
    groups
        Positions of the columns of labels.

    Raises
    ------
    InputError
        For an unknown method, or neighbours of a model that is not trained.
    """
    if method not in METHODS:
        raise InputError(f"there is no method {method!r}{nearest(method, METHODS)}")
    units = units_of(model)
    sizes = units.machine.groups
    if method == "knn":
        if model.label_reference_ is None:
            raise InputError("the neighbours are known once the model is trained: call train first")
        coordinates, own = map(np.asarray, model.label_reference_)
        own = own.reshape(len(own), -1)  # models saved before had one column
        x = model.get_latent_representation(adata, indices, batch_size=batch_size)
        known = [own[:, g] >= 0 for g in groups]
        return [
            neighbour_votes(x, coordinates[rows], own[rows, g], sizes[g]) for g, rows in zip(groups, known, strict=True)
        ]
    parts: list[list[np.ndarray]] = [[np.zeros((0, sizes[g]))] for g in groups]
    for parameters, _ in cells.posteriors(model, adata, indices, batch_size):
        parameters = parameters.to(model.device)
        joint = units.machine.probabilities(parameters).double() if method == "machine" else None
        for found, g in zip(parts, groups, strict=True):
            p = units.softmax(torch.sigmoid(parameters), g) if joint is None else units.machine.marginal(joint, g)
            found.append(p.double().cpu().numpy())
    return [np.concatenate(found) for found in parts]


def _some(rng: np.random.Generator, rows: np.ndarray, most: int) -> np.ndarray:
    return rows if len(rows) <= most else rng.choice(rows, most, replace=False)


def registration(model: Model, adata: Any, labels_key: str | Sequence[str], unlabelled: str) -> dict[str, Any]:
    """Return a model's registration with the labels of these cells in it, after checking them; nothing is written.

    Parameters
    ----------
    model
        The model that gets labels.
    adata
        Its cells.
    labels_key
        Column with the labels, or several.
    unlabelled
        Value of cells without one.
    """
    registry = copy.deepcopy(model.registry_)
    registry["setup_args"] |= {"labels_key": label_names.plain(labels_key), "unlabeled_category": unlabelled}
    setup = registry["setup_args"]
    keys = label_names.keys_of(labels_key)
    audit.keys(adata, keys, "labels_key", missing=True)
    label_names.check(adata.obs, labels_key, unlabelled, setup["batch_key"])
    manager = AnnDataManager(fields=fields.labels(setup))
    manager.register_fields(AnnData(obs=adata.obs[keys]))
    registry["field_registries"] |= manager.registry["field_registries"]
    return registry
