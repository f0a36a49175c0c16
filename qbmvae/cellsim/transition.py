"""Learn the gates that turn one condition's cells into the other's, and write them as circuits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from qbmvae.cellsim.circuit import GeneCircuit
from qbmvae.cellsim.inverse import Cells, Parents, Search
from samplers.errors import InputError, require

#: Gates that are looked for; "open" is a CX that acts where its control is off.
KINDS = ("cx", "open", "cry")


@dataclass(frozen=True)
class Transition:
    """What `learn_transition` found.

    Attributes
    ----------
    gates
        One row a gate, in time order within its condition: condition, control, target, gate ("cx" or "cry"), sign (-1: an
        open control), angle with its standard error in radians ("cry"), `gain` in nats on the training cells and
        `held_out_gain` on the others: what the target's likelihood loses without the gate.
    activations
        Of every gene before any gate, as `GeneCircuit` takes them.
    names
        Of the two conditions.
    """

    gates: pd.DataFrame
    activations: pd.Series
    names: tuple[str, str]

    def circuit(self, condition: str) -> GeneCircuit:
        """Return one condition's circuit, to sample from.

        Raises
        ------
        InputError
            For an unknown condition.
        """
        require(condition, self.names, "no condition")
        edges: list[tuple[Any, ...]] = []
        for row in self.gates[self.gates["condition"] == condition].itertuples():
            if row.gate == "cx":
                edges.append((row.control, row.target, "cx", 1.0, row.sign))
            else:
                edges.append((row.control, row.target, "cry", abs(row.angle) / math.pi, 1 if row.angle >= 0 else -1))
        return GeneCircuit(self.activations.to_numpy(), edges, list(self.activations.index))


def learn_transition(
    first: np.ndarray | pd.DataFrame,
    second: np.ndarray | pd.DataFrame,
    genes: Sequence[str] | None = None,
    *,
    names: tuple[str, str] = ("first", "second"),
    kinds: Sequence[str] = KINDS,
    allowed: np.ndarray | None = None,
    least_gain: float | None = None,
    held_out: float = 0.2,
    seed: int = 0,
) -> Transition:
    """Return the gates of two conditions whose genes start with the same activations.

    Parameters
    ----------
    first, second
        Bits of each condition's cells, `(n_cells, n_genes)`, the same genes; cells of several types that were measured
        jointly are one row (`.uns["truth"]["joint_bits"]` of `simulate`).
    genes
        Names; the columns of a DataFrame, or g0, g1, ...
    names
        Of the conditions.
    kinds
        Gates to look for: "cx", "open" (a CX with an open control), "cry".
    allowed
        `(n_genes, n_genes)` bool, control by target: pairs to look at; all by default.
    least_gain
        Nats that a gate must gain on the training cells (the held-out ones must agree in sign); by default the log of
        the number of candidate gates plus 3, so that about one search in twenty finds a gate where there is none.
    held_out
        Share of the cells that only judge.
    seed
        Of the held-out cells.

    Returns
    -------
    The gates of both conditions. What the cells do not tell is not found: flips of a gene that is on in half of the
    cells, gates whose control is (almost) never or always on, crz gates; a crx is found as the cry of equal outcomes.

    Raises
    ------
    InputError
        Bits that are not 0 or 1, other genes, too few cells.
    """
    values, labels = _checked(first, second, genes)
    for kind in kinds:
        require(kind, KINDS, "no gate")
    if not kinds:
        raise InputError(f"kinds is empty: name gates to look for, of {', '.join(KINDS)}")
    if len(set(names)) != 2:
        raise InputError(f"names are {names!r}: give each of the two conditions one of its own")
    if not 0 < held_out < 1:
        raise InputError(f"held_out={held_out}: give a share between 0 and 1")
    n = len(labels)
    mask = ~np.eye(n, dtype=bool)
    if allowed is not None:
        if np.shape(allowed) != (n, n):
            raise InputError(f"allowed has shape {np.shape(allowed)}: it is control by target, ({n}, {n})")
        mask &= np.asarray(allowed, dtype=bool)
    rng = np.random.default_rng(seed)
    order = [rng.permutation(len(part)) for part in values]
    cuts = [max(1, round(held_out * len(part))) for part in values]
    train = Cells([part[o[k:]] for part, o, k in zip(values, order, cuts, strict=True)])
    held = Cells([part[o[:k]] for part, o, k in zip(values, order, cuts, strict=True)])
    if least_gain is None:
        least_gain = math.log(max(1, 2 * len(kinds) * int(mask.sum()))) + 3
    search = Search(train, held, list(kinds), mask, least_gain)
    return _described(search, Cells(values), search.run(), labels, names)


def _described(
    search: Search, everything: Cells, found: list[list[Parents]], labels: list[str], names: tuple[str, str]
) -> Transition:
    fits = [everything.fit(g, parents) for g, parents in enumerate(found)]
    rows = []
    for condition in (0, 1):
        for control, target, kind, sign in in_time([parents[condition] for parents in found]):
            parents = found[target]
            own = parents[condition]
            angle = error = float("nan")
            if kind == "cry":
                k = [c for c, _ in own.turns].index(control)
                at = 1 + k + (len(parents[0].turns) if condition else 0)
                angle, error = float(fits[target][1][at]), float(np.sqrt(fits[target][2][at]))
                less = Parents(own.flips, own.open, (*own.turns[:k], *own.turns[k + 1 :]))
            else:
                rest = tuple(c for c in own.flips if c != control)
                less = Parents(rest, own.open and bool(rest), own.turns)
            trial = [less if c == condition else p for c, p in enumerate(parents)]
            scores = [search.train.fit(target, p) for p in (parents, trial)]
            judged = [search.held.score_at(target, p, s[1]) for p, s in zip((parents, trial), scores, strict=True)]
            rows.append(
                {
                    "condition": names[condition],
                    "control": labels[control],
                    "target": labels[target],
                    "gate": kind,
                    "sign": sign,
                    "angle": angle,
                    "angle_se": error,
                    "gain": scores[0][0] - scores[1][0],
                    "held_out_gain": judged[0] - judged[1],
                }
            )
    columns = ["condition", "control", "target", "gate", "sign", "angle", "angle_se", "gain", "held_out_gain"]
    own_angle = np.array([u[0] for _, u, _ in fits])
    activations = pd.Series(np.arccos(np.clip(np.cos(own_angle), -1, 1)) / math.pi, index=labels)
    return Transition(pd.DataFrame(rows, columns=columns), activations, names)


def in_time(parents: Sequence[Parents]) -> list[tuple[int, int, str, int]]:
    """Return (control, target, "cx" | "cry", sign) in time order, with as few flips as elimination finds.

    The rows of the map from measured to own bits are brought to the identity; each step adds one row to another, which is
    one flip, the first step the first flip: the step that leaves fewest entries is taken. A rotation acts before its
    target's first flip (or after its last, where it is late), and after its control's last gate.
    """
    n = len(parents)
    rows = [{t} ^ set(p.flips) for t, p in enumerate(parents)]
    flips: list[tuple[int, int, str, int]] = []
    is_open = [p.open for p in parents]
    while any(row != {t} for t, row in enumerate(rows)):
        steps = [
            (len(rows[t] ^ rows[c]) - len(rows[t]), len(rows[c]), c, t)
            for t in range(n)
            for c in range(n)
            if c != t and len(rows[t]) > 1 and rows[c] & rows[t]
        ]
        *_, control, target = min(steps)
        rows[target] = rows[target] ^ rows[control]
        flips.append((control, target, "cx", 1))
    for t in range(n):
        last = [k for k, flip in enumerate(flips) if flip[1] == t]
        if is_open[t] and last:
            control, target, kind, _ = flips[last[-1]]
            flips[last[-1]] = (control, target, kind, -1)
    order = list(flips)
    waiting = [(c, t, late) for t, p in enumerate(parents) for c, late in p.turns]
    while waiting:
        # a rotation whose control is still to be rotated waits
        targets = {t for _, t, _ in waiting}
        ready = [w for w in waiting if w[0] not in targets] or waiting[:1]
        for control, target, late in ready:
            after = [k for k, gate in enumerate(order) if gate[1] == control or (late and gate[1:3] == (target, "cx"))]
            order.insert(max(after, default=-1) + 1, (control, target, "cry", 1))
            waiting.remove((control, target, late))
    return order


def correlation_differences(
    first: np.ndarray | pd.DataFrame, second: np.ndarray | pd.DataFrame, genes: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return pairs of genes by the change of their correlation, largest first: the comparison without a model.

    Columns: one, other, first, second (correlations), and z, the difference of Fisher's transforms over its error.

    Parameters
    ----------
    first, second
        Bits or expression of each condition, `(n_cells, n_genes)`.
    genes
        Their names; the columns of a table by default.
    """
    values, labels = _checked(first, second, genes)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = [np.clip(np.nan_to_num(np.corrcoef(part.T.astype(float))), -0.999999, 0.999999) for part in values]
    one, other = np.triu_indices(len(labels), 1)
    error = math.sqrt(sum(1 / (len(part) - 3) for part in values))
    z = (np.arctanh(r[1][one, other]) - np.arctanh(r[0][one, other])) / error
    names = np.array(labels)
    table = pd.DataFrame(
        {"one": names[one], "other": names[other], "first": r[0][one, other], "second": r[1][one, other], "z": z}
    )
    return table.sort_values("z", key=lambda z: -z.abs(), ignore_index=True)


def _checked(first: Any, second: Any, genes: Sequence[str] | None) -> tuple[list[np.ndarray], list[str]]:
    frames = [x for x in (first, second) if isinstance(x, pd.DataFrame)]
    if len(frames) == 2 and list(frames[0].columns) != list(frames[1].columns):
        raise InputError("the conditions have different genes, or the same in another order: give the same columns")
    if genes is None and frames:
        genes = [str(g) for g in frames[0].columns]
    values = []
    for name, given in (("first", first), ("second", second)):
        # an AnnData or a sparse matrix is no array of numbers
        part = (
            np.asarray(given) if isinstance(given, np.ndarray | pd.DataFrame | list | tuple) else np.empty((), object)
        )
        if part.dtype.kind not in "biuf":
            raise InputError(
                f"{name} is a {type(given).__name__} of {part.dtype}: give an array or DataFrame of bits 0 and 1"
            )
        values.append(part)
        if part.ndim != 2 or len(part) < 20 or part.shape[1] < 2:
            raise InputError(f"{name} has shape {part.shape}: give (n_cells, n_genes), 20 cells and 2 genes or more")
        if not np.isin(part, (0, 1)).all():
            cell, gene = np.argwhere(~np.isin(part, (0, 1)))[0]
            raise InputError(f"{name}[{cell}, {gene}] is {part[cell, gene]}: bits are 0 or 1")
    if values[0].shape[1] != values[1].shape[1]:
        raise InputError(f"the conditions have {values[0].shape[1]} and {values[1].shape[1]} genes")
    labels = [f"g{i}" for i in range(values[0].shape[1])] if genes is None else [str(g) for g in genes]
    if len(labels) != values[0].shape[1] or len(set(labels)) < len(labels):
        raise InputError(f"genes must be {values[0].shape[1]} different names; {len(labels)} given")
    return [part.astype(bool) for part in values], labels
