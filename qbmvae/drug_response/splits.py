"""Train, validation and test pairs: at random, or with drugs, cell lines or tissues that training never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from qbmvae.drug_response.data import DrugData
from qbmvae.drug_response.identity import same_molecule
from samplers.errors import InputError, nearest

SplitName = Literal["random", "blind-drug", "blind-line", "blind-tissue"]
SPLITS: tuple[SplitName, ...] = ("random", "blind-drug", "blind-line", "blind-tissue")


@dataclass(frozen=True)
class Split:
    """Row numbers of the pairs, `(n,)` int64 each, disjoint."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def split(
    data: DrugData,
    kind: SplitName = "random",
    *,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int | np.random.Generator | None = 0,
) -> Split:
    """Return a split by shares of the pairs (random) or of the groups (blind).

    Parameters
    ----------
    data
        The data set.
    kind
        "random", "blind-drug" (molecules that the network cannot tell apart, and salts of one parent, stay together),
        "blind-line", "blind-tissue".
    validation, test
        Shares, each in (0, 1), sum below 1.
    seed
        Source of the order.

    Raises
    ------
    InputError
        For shares out of range, too few groups, or an unknown kind.
    """
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise InputError(f"validation {validation:g} and test {test:g} must be > 0 with a sum below 1")
    group = groups(data, kind)
    names = np.unique(group)
    if len(names) < 3:
        raise InputError(f"a {kind} split needs 3 groups or more, the data hold {len(names)}")
    order = np.random.default_rng(seed).permutation(names)
    n_test, n_validation = (max(1, round(share * len(names))) for share in (test, validation))
    parts = order[:n_test], order[n_test : n_test + n_validation], order[n_test + n_validation :]
    rows = [np.flatnonzero(np.isin(group, part)) for part in parts]
    return Split(train=rows[2], validation=rows[1], test=rows[0])


def sized_split(
    data: DrugData, *, n_train: int, n_validation: int, n_test: int, seed: int | np.random.Generator | None = 0
) -> Split:
    """Return a random split of stated sizes; with equal seed, validation and test, fewer training pairs are a subset of more.

    Parameters
    ----------
    data
        The data set.
    n_train, n_validation, n_test
        Numbers of pairs.
    seed
        Source of the order.

    Raises
    ------
    InputError
        Where the data hold fewer pairs.
    """
    wanted = {"train": n_train, "validation": n_validation, "test": n_test}
    if sum(wanted.values()) > len(data):
        raise InputError(f"{sum(wanted.values())} pairs are wanted ({wanted}), the data hold {len(data)}")
    order = np.random.default_rng(seed).permutation(len(data))
    held_out = n_test + n_validation
    return Split(train=order[held_out:][:n_train], validation=order[n_test:held_out], test=order[:n_test])


def groups(data: DrugData, kind: SplitName) -> np.ndarray:
    """Return the group of each pair, `(n_pairs,)`: pairs of one group are never parted.

    Raises
    ------
    InputError
        For an unknown kind, or tissues that are not known.
    """
    if kind == "random":
        return np.arange(len(data))
    if kind == "blind-drug":
        return same_molecule(data.molecules.molecules)[data.drug]
    if kind == "blind-line":
        return data.line
    if kind == "blind-tissue":
        if data.tissues is None:
            raise InputError("a blind-tissue split needs the cell-line table with its tissues: give --lines")
        return np.unique(data.tissues, return_inverse=True)[1][data.line]
    raise InputError(f"split {kind!r} is not known{nearest(kind, SPLITS)}")
