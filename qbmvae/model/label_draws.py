"""Which cells are generated with which labels: labels are clamped column by column, open columns follow their shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scvi.model.base import BaseMinifiedModeModelClass as Model

from qbmvae.core.priors.base import DiscretePrior
from qbmvae.model import cells
from qbmvae.model.labels import group_of, units_of
from qbmvae.model.library_sizes import Libraries
from samplers.errors import InputError, nearest

#: Which cells are drawn with which combination of labels; None for the prior without labels.
Asked = list[tuple[int | None, np.ndarray]]


def named(model: Model, label: str | Mapping[str, str]) -> dict[str, str]:
    """Return a label as a mapping of columns to labels; the name alone is enough where there is one column.

    Raises
    ------
    InputError
        Where the model has several columns and none is named.
    """
    units_of(model)
    if isinstance(label, Mapping):
        return {key: str(value) for key, value in label.items()}
    keys = list(cells.label_units(model.registry_))
    if len(keys) > 1:
        raise InputError(f"the model has several columns of labels: write label={{{keys[0]!r}: {str(label)!r}}}")
    return {keys[0]: str(label)}


def combinations(model: Model, label: str | Mapping[str, str]) -> np.ndarray:
    """Return the combinations that hold a label of each column that is named, the other columns left open.

    Raises
    ------
    InputError
        For an unknown label, or labels that no cell has together.
    """
    machine, known = units_of(model).machine, list(cells.label_units(model.registry_).values())
    fits = np.ones(machine.groups, dtype=bool)
    for key, value in named(model, label).items():
        group = group_of(model, key)
        if value not in known[group]:
            raise InputError(f"the model knows no label {value!r}{nearest(value, known[group])}")
        fits &= _axis(machine.groups, group, known[group].index(value))
    found = np.flatnonzero(fits.ravel() & machine.log_shares.isfinite().cpu().numpy())
    if not len(found):
        raise InputError(f"no cell has the labels {named(model, label)} together: nothing is known of such cells")
    return found


def drawn(model: Model, label: str | Mapping[str, str] | None, n: int, rng: np.random.Generator) -> Asked:
    """Return which of n cells have which combination of labels: columns that are not named follow their shares.

    Parameters
    ----------
    model, label
        The trained model, and a label of each column that is named.
    n
        Cells.
    rng
        The generator.
    """
    if label is None:
        return [(None, np.arange(n))]
    found = combinations(model, label)
    if len(found) == 1 or n < 1:
        return [(int(found[0]), np.arange(n))]
    shares = units_of(model).machine.log_shares.exp().cpu().numpy()[found]
    own = rng.choice(found, n, p=shares / shares.sum())
    return [(int(k), np.flatnonzero(own == k)) for k in np.unique(own)]


def order(asked: Asked) -> np.ndarray:
    """Return where each cell stands among those of one combination after the other, `(n_cells,)`."""
    return np.argsort(np.concatenate([rows for _, rows in asked]))


def names_of(model: Model, asked: Asked) -> dict[str, np.ndarray]:
    """Return the labels of each column that cells were drawn with."""
    own = np.concatenate([np.full(len(rows), combination) for combination, rows in asked])[order(asked)]
    codes = np.unravel_index(own, units_of(model).machine.groups)
    known = cells.label_units(model.registry_).items()
    return {key: np.asarray(names, dtype=object)[c] for (key, names), c in zip(known, codes, strict=True)}


def given(model: Model, combination: int) -> tuple[DiscretePrior, np.ndarray]:
    """Return the energy of the bits, and the fields that a combination of labels adds, `(n_latent,)` in nats."""
    machine = units_of(model).machine
    return machine.prior, machine.fields()[combination].detach().double().cpu().numpy()


def libraries(model: Model, combination: int | None, batch: str | None) -> Libraries | None:
    """Return what `training_like` needs of training cells of a combination; None where the batch, if given, has none.

    As `qbmvae.model.library_sizes.libraries` does of all labels.

    Parameters
    ----------
    model
        The trained model.
    combination
        Of labels, its position; None for any.
    batch
        Name of the batch; all by default.
    """
    if combination is None or model.label_libraries_ is None:
        return None
    # models saved before their posteriors were kept have four
    sizes, codes, numbers, own, posteriors = (*model.label_libraries_, None)[:5]
    rows = own == combination
    if batch is not None:
        names = cells.batch_names(model.registry_)
        rows &= codes[:, 0] == (names.index(str(batch)) if str(batch) in names else -1)
    if not rows.any():
        return None
    own_posteriors = None if posteriors is None else posteriors[rows]
    return sizes[rows], codes[rows], numbers[rows] if numbers.shape[1] else None, own_posteriors


def _axis(groups: Sequence[int], group: int, code: int) -> np.ndarray:
    shape = [1] * len(groups)
    shape[group] = groups[group]
    return (np.arange(groups[group]) == code).reshape(shape)
