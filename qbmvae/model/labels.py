"""Labels of `QBMVAE`: their names, the fit of their units when training ends, predictions of cells."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import numpy as np
import torch
from scvi import REGISTRY_KEYS
from scvi.model.base import BaseMinifiedModeModelClass as Model

from qbmvae.core.labels.fit import fit_labels
from qbmvae.core.labels.targets import fit_softmax, neighbour_votes, soft_targets
from qbmvae.core.priors.base import DiscretePrior
from qbmvae.core.training.config import TrainingConfig
from qbmvae.data import audit, label_names
from qbmvae.data.categories import text_of
from qbmvae.model import cells, embedding, fields
from qbmvae.model.label_units import LabelUnits
from samplers.errors import InputError, nearest

METHODS = ("machine", "softmax", "knn")
#: Cells to whose codes the units are fitted, and labelled cells of each label that are kept as neighbours, at most.
CELLS, NEIGHBOURS_KEPT = 20_000, 1_000
#: Steps of the fit; after a short training fewer, down to the second.
STEPS, FEWEST_STEPS = 1000, 300


def codes(model: Model) -> np.ndarray:
    """Return the label code of each of the model's cells, -1 where there is none, `(n_cells,)`."""
    state = model.registry_["field_registries"][REGISTRY_KEYS.LABELS_KEY]["state_registry"]
    position = {name: code for code, name in enumerate(cells.label_units(model.registry_))}
    units = np.array([position.get(text_of(name), -1) for name in state["categorical_mapping"]])
    return units[np.asarray(model.adata_manager.get_from_registry(REGISTRY_KEYS.LABELS_KEY)).ravel().astype(np.int64)]


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


def _code_of(model: Model, label: str) -> int:
    """Return a label's code; name the nearest labels where there is none of that name."""
    units_of(model)
    known = cells.label_units(model.registry_)
    if str(label) not in known:
        raise InputError(f"the model knows no label {label!r}{nearest(str(label), known)}")
    return known.index(str(label))


def given(model: Model, label: str) -> tuple[DiscretePrior, np.ndarray]:
    """Return the energy of the bits, and the fields that a label adds, `(n_latent,)` in nats."""
    machine, code = units_of(model).machine, _code_of(model, label)
    return machine.prior, machine.fields()[code].detach().double().cpu().numpy()


def libraries(model: Model, label: str, batch: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray | None] | None:
    """Return library sizes and covariates of training cells of a label; None where the batch, if given, has none.

    As `qbmvae.model.cells.libraries` does of all labels.

    Parameters
    ----------
    model
        The trained model.
    label
        Name of the label.
    batch
        Name of the batch; all by default.
    """
    if model.label_libraries_ is None:
        return None
    sizes, codes, numbers, own = model.label_libraries_
    rows = own == _code_of(model, label)
    if batch is not None:
        names = cells.batch_names(model.registry_)
        rows &= codes[:, 0] == (names.index(str(batch)) if str(batch) in names else -1)
    return (sizes[rows], codes[rows], numbers[rows] if numbers.shape[1] else None) if rows.any() else None


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
    kept = np.concatenate(
        [_some(rng, np.flatnonzero(known == code), NEIGHBOURS_KEPT) for code in np.unique(known[known >= 0])]
    )
    others = np.setdiff1d(np.arange(len(known)), kept)
    if model.test_indices_ is not None:
        others = np.setdiff1d(others, model.test_indices_)
    rows = np.sort(np.concatenate([kept, _some(rng, others, max(0, CELLS - len(kept)))]))
    parts = partial(cells.posteriors, model, None, rows)
    with torch.inference_mode():
        found = list(embedding.stream(module, parts, embedding.Wanted(embedding.DEFAULT, align=model.align_batches)))
    parameters = torch.cat([p for p, _ in found]).clone()
    coordinates, own = np.concatenate([x for _, x in found]), known[rows]
    n_labels = len(cells.label_units(model.registry_))
    targets = torch.from_numpy(soft_targets(coordinates, own, n_labels))
    units.load_state_dict(LabelUnits(module.vae.prior, n_labels).state_dict())
    fit_labels(
        units.machine,
        parameters.to(module.device),
        targets.to(module.device),
        steps=steps,
        num_chains=num_chains,
        seed=seed,
    )
    weight, constant = fit_softmax(torch.sigmoid(parameters), targets)
    units.weight.copy_(weight)
    units.constant.copy_(constant)
    reference = np.flatnonzero(np.isin(rows, kept))
    model.label_reference_ = coordinates[reference], own[reference]
    # library sizes by label: cells of a type are generated at the depth of that type
    source, some = cells.source(model), rng.permutation(len(rows))[: cells.LIBRARIES]
    sizes, covariates = np.asarray(source.library), np.stack(source.categories, axis=1)
    numbers = np.zeros((len(sizes), 0)) if source.continuous is None else np.asarray(source.continuous)
    chosen = rows[some]
    model.label_libraries_ = sizes[chosen], covariates[chosen], numbers[chosen], targets.numpy().argmax(1)[some]


def fit_after(model: Model, config: TrainingConfig) -> None:
    """Fit the units when training ends, in as many steps as it took and no more than `fit` takes."""
    steps = config.max_epochs * -(-len(model.train_indices_) // config.batch_size)
    fit(model, config.seed, min(STEPS, max(FEWEST_STEPS, steps)), 2 * config.num_chains)


@torch.inference_mode()
def probabilities(model: Model, adata: Any, indices: Any, batch_size: int | None, method: str) -> np.ndarray:
    """Return label probabilities of cells, `(n_cells, n_labels)`; see `QBMVAE.predict`.

    Parameters
    ----------
    model, adata, indices, batch_size, method
        As in `QBMVAE.predict`.

    Raises
    ------
    InputError
        For an unknown method, or neighbours of a model that is not trained.
    """
    if method not in METHODS:
        raise InputError(f"there is no method {method!r}{nearest(method, METHODS)}")
    units = units_of(model)
    if method == "knn":
        if model.label_reference_ is None:
            raise InputError("the neighbours are known once the model is trained: call train first")
        coordinates, own = model.label_reference_
        x = model.get_latent_representation(adata, indices, batch_size=batch_size)
        return neighbour_votes(x, np.asarray(coordinates), np.asarray(own), len(units.constant))
    parts = []
    for parameters, _ in cells.posteriors(model, adata, indices, batch_size):
        parameters = parameters.to(model.device)
        if method == "machine":
            parts.append(units.machine.probabilities(parameters).cpu().double())
        else:
            logits = torch.sigmoid(parameters) @ units.weight.T + units.constant
            parts.append(torch.softmax(logits, -1).cpu().double())
    return torch.cat(parts).numpy() if parts else np.zeros((0, len(units.constant)))


def _some(rng: np.random.Generator, rows: np.ndarray, most: int) -> np.ndarray:
    return rows if len(rows) <= most else rng.choice(rows, most, replace=False)


def registration(model: Model, adata: Any, labels_key: str, unlabelled: str) -> dict[str, Any]:
    """Return a model's registration with the labels of these cells in it, after checking them.

    Parameters
    ----------
    model
        The model that gets labels.
    adata
        Its cells.
    labels_key
        Column with the labels.
    unlabelled
        Value of cells without one.
    """
    registry = copy.deepcopy(model.registry_)
    registry["setup_args"] |= {"labels_key": labels_key, "unlabeled_category": unlabelled}
    setup = registry["setup_args"]
    audit.keys(adata, [labels_key], "labels_key", missing=True)
    label_names.check(adata.obs, labels_key, unlabelled, setup["batch_key"])
    field = fields.Labels(REGISTRY_KEYS.LABELS_KEY, labels_key, unlabelled)
    state = registry["field_registries"][REGISTRY_KEYS.LABELS_KEY]
    state["state_registry"] = {
        **state["state_registry"],
        "categorical_mapping": field.learned(adata),
        "original_key": labels_key,
    }
    return registry
