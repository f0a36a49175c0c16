"""Train, validation and test pairs: at random, or with drugs, cell lines, tissues, or tissues and drugs that training never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from qbmvae.drug_response.data import DrugData
from qbmvae.drug_response.identity import same_molecule
from samplers.errors import InputError, nearest

SplitName = Literal["random", "blind-drug", "blind-line", "blind-tissue", "blind-tissue-and-drug"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


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
        "blind-line", "blind-tissue", "blind-tissue-and-drug": the test's pairs have both a tissue and a drug that training
        never saw, the validation pairs others; pairs with one of them alone are left out.
    validation, test
        Shares, each in (0, 1), sum below 1; of the tissues and of the drugs where both are blind.
    seed
        Source of the order.

    Raises
    ------
    InputError
        For shares out of range, too few groups, or an unknown kind.
    """
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise InputError(f"validation {validation:g} and test {test:g} must be > 0 with a sum below 1")
    if kind == "blind-tissue-and-drug":
        # independent orders of tissues and of drugs
        seeds = np.random.default_rng(seed).integers(2**31, size=2)
        kinds: tuple[SplitName, SplitName] = ("blind-tissue", "blind-drug")
        a, b = (
            split(data, k, validation=validation, test=test, seed=int(s)) for k, s in zip(kinds, seeds, strict=True)
        )
        return Split(*(np.intersect1d(getattr(a, p), getattr(b, p)) for p in ("train", "validation", "test")))
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
    data: DrugData,
    *,
    n_train: int,
    n_validation: int,
    n_test: int,
    kind: SplitName = "random",
    seed: int | np.random.Generator | None = 0,
) -> Split:
    """Return a split of stated sizes; with equal seed, validation and test, fewer training pairs are a subset of more.

    Parameters
    ----------
    data
        The data set.
    n_train, n_validation, n_test
        Numbers of pairs.
    kind
        See `split`; of a blind one, which takes 15 % of the groups for validation and for the test each, a random part.
    seed
        Source of the order.

    Raises
    ------
    InputError
        The data, or a part of a blind split, hold too few pairs.
    """
    wanted = {"train": n_train, "validation": n_validation, "test": n_test}
    if sum(wanted.values()) > len(data):
        raise InputError(f"{sum(wanted.values())} pairs are wanted ({wanted}), the data hold {len(data)}")
    if kind != "random":
        rng = np.random.default_rng(seed)
        whole = split(data, kind, validation=0.15, test=0.15, seed=rng)
        parts = {name: rng.permutation(getattr(whole, name)) for name in wanted}
        for name, n in wanted.items():
            if len(parts[name]) < n:
                raise InputError(f"{n} {name} pairs are wanted, a {kind} split of the data leaves {len(parts[name])}")
        return Split(**{name: rows[: wanted[name]] for name, rows in parts.items()})
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
