"""Hold-outs: unseen perturbations, an unseen replicate or patient, unseen combinations, unseen cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from samplers.errors import InputError, nearest

HOLDOUTS = ("perturbations", "context", "combinations", "cells", "none")


class Split(NamedTuple):
    """Boolean masks over cells; both hold control cells (the same ones where the contexts are the same)."""

    train: np.ndarray
    test: np.ndarray
    held_out: list[str]


def split(
    labels: np.ndarray,
    control: str,
    how: str,
    *,
    contexts: np.ndarray | None = None,
    values: list[str] | None = None,
    share: float = 0.2,
    separator: str = "+",
    seed: int = 0,
) -> Split:
    """Split cells.

    Parameters
    ----------
    labels
        (n_cells,) perturbation of each cell.
    how
        "perturbations": a `share` of them, or those in `values`, are unseen. "context": the cells of the contexts in
        `values` (by default the last). "combinations": a share of the labels that join single perturbations with
        `separator`. "cells": a share of the cells of each perturbation and of the controls. "none": everything trains.
    control
        Label of the controls.
    contexts
        (n_cells,) context of each cell, for "context".
    values, share
        What is held out, or how much.
    separator
        Joins the parts of a combination's label.
    seed
        Of the choice.

    Raises
    ------
    InputError
        Where nothing can be held out so.
    """
    if how not in HOLDOUTS:
        raise InputError(f"hold-out {how!r}{nearest(how, HOLDOUTS)}")
    is_control = labels == control
    everything = np.ones(len(labels), bool)
    if how == "none":
        return Split(everything, ~everything, [])
    rng = np.random.default_rng(seed)
    if how == "cells":
        test = np.zeros(len(labels), bool)
        for name in np.unique(labels):
            rows = np.flatnonzero(labels == name)
            if rows.size > 1:
                test[rng.choice(rows, max(1, round(share * rows.size)), replace=False)] = True
        return Split(~test, test, sorted(set(labels[test & ~is_control])))
    if how == "context":
        return _context(labels, is_control, contexts, values)
    names = np.unique(labels[~is_control])
    if how == "combinations":
        names = np.array([name for name in names if separator in name])
        if not names.size:
            raise InputError(
                f"hold-out 'combinations': no label joins perturbations with {separator!r}: give --separator"
            )
    if values:
        for value in values:
            if value not in names:
                raise InputError(f"hold-out: no perturbation {value!r}{nearest(value, names)}")
        chosen = np.array(values)
    else:
        if len(names) < 2:
            raise InputError(
                f"hold-out {how!r} needs at least two perturbations, the data have {len(names)}: try --holdout cells"
            )
        chosen = rng.choice(names, min(len(names) - 1, max(1, round(share * len(names)))), replace=False)
    out = np.isin(labels, chosen)
    if how == "combinations":
        # the parts of a held-out combination stay in training; a combination of other combinations' parts too
        singles = set(np.unique(labels[~is_control & ~out]))
        unknown = [name for name in chosen if not all(part in singles for part in name.split(separator))]
        if len(unknown) == len(chosen):
            raise InputError(f"hold-out 'combinations': no part of {unknown[0]!r} is in the data alone")
    return Split(~out, out | is_control, sorted(map(str, chosen)))


def _context(
    labels: np.ndarray, is_control: np.ndarray, contexts: np.ndarray | None, values: list[str] | None
) -> Split:
    if contexts is None:
        raise InputError("hold-out 'context' needs a column: give --context-key")
    known = np.unique(contexts)
    if len(known) < 2:
        raise InputError("hold-out 'context' needs at least two contexts, the column has one")
    for value in values or []:
        if value not in known:
            raise InputError(f"hold-out: no context {value!r}{nearest(value, known)}")
    test = np.isin(contexts, values or known[-1:])
    for part, name in ((test, "held-out"), (~test, "training")):
        if not (part & is_control).any():
            raise InputError(f"no control cells in the {name} contexts: choose other --holdout-values")
    seen = np.unique(labels[~test & ~is_control])
    test &= is_control | np.isin(labels, seen)
    return Split(~np.isin(contexts, values or known[-1:]), test, sorted(values or [str(known[-1])]))
