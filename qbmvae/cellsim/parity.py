"""Likelihoods of bits of many cells, each gene's cells held in one integer.

Parameters
----------
on, total
    Cells in which the gene is on, and all cells, of each combination of its parents.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numba
import numpy as np

#: Cells where a rotation's control turned its target up, and where it turned it down.
Turn = tuple[int, int]
#: A gene's bits and turns in one condition, and the integer with a one for every cell.
Observed = tuple[int, list[Turn], int]
#: Fisher scoring steps of a gene's angles, and most rotations that are each begun on both sides of pi.
STEPS, BRANCHED = 4, 4


def packed(column: np.ndarray) -> int:
    """Return a column of bits as one integer."""
    return int.from_bytes(np.packbits(column.astype(np.uint8), bitorder="little").tobytes(), "little")


def table(observed: Sequence[Observed]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the design (n_rows, 1 + n_turns), cells that are on, and cells, one row a pattern of turns.

    The first angle is the gene's own, common to all conditions; then come the turns of each condition in order.
    """
    width = [len(turns) for _, turns, _ in observed]
    rows, on, total = [], [], []
    for c, (column, turns, full) in enumerate(observed):
        before, after = sum(width[:c]), sum(width[c + 1 :])
        for pattern, mask in _patterns(turns, full):
            rows.append([1.0, *[0.0] * before, *pattern, *[0.0] * after])
            on.append((mask & column).bit_count())
            total.append(mask.bit_count())
    return np.array(rows), np.array(on, float), np.array(total, float)


def _patterns(turns: list[Turn], full: int) -> Iterator[tuple[list[float], int]]:
    parts: list[tuple[list[float], int]] = [([], full)]
    for up, down in turns:
        rest = full & ~(up | down)
        parts = [
            ([*signs, sign], mask & where)
            for signs, mask in parts
            for sign, where in ((0.0, rest), (1.0, up), (-1.0, down))
            if mask & where
        ]
    yield from parts


@numba.njit(cache=True)
def likelihood(u: np.ndarray, on: np.ndarray, total: np.ndarray) -> float:
    """Return the log-likelihood of counts of cells at angles u, P(on) = sin^2(u / 2), kept off 0 and 1.

    Parameters
    ----------
    u
        Angles in radians.
    """
    value = 0.0
    for k in range(len(u)):
        p = min(max(math.sin(u[k] / 2) ** 2, 1e-4), 1 - 1e-4)
        value += on[k] * math.log(p) + (total[k] - on[k]) * math.log1p(-p)
    return value


def entropy_score(on: int, total: int) -> float:
    """Return the log-likelihood of bits at their own frequency."""
    p = min(max(on / total, 1e-4), 1 - 1e-4)
    return on * math.log(p) + (total - on) * math.log1p(-p)


@numba.njit(cache=True)
def fit(design: np.ndarray, on: np.ndarray, total: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the largest log-likelihood, the angles (n_angles,), and their variances by the Fisher information.

    A frequency fixes an angle up to its sign and whole turns: a rotation that takes its target past pi lowers what it seems to
    raise. One rotation alone has the same outcomes either way; several have not, so each is begun on both sides.

    Parameters
    ----------
    design
        Turns of each pattern, `(n_patterns, n_angles)`.
    on, total
        Cells of each pattern that are on, and all of them, `(n_patterns,)`.
    """
    weighted = design.T * total
    covariance = np.linalg.inv(weighted @ design + 1e-9 * np.eye(design.shape[1]))
    seen = 2 * np.arcsin(np.sqrt(on / total))
    value, best = _scored(design, on, total, covariance, covariance @ (weighted @ seen))
    n_turns = design.shape[1] - 1
    if 2 <= n_turns <= BRANCHED:
        one = _single(design, total, seen, best)
        for branch in range(2**n_turns):
            start = one.copy()
            for k in range(n_turns):
                if branch >> k & 1:
                    start[1 + k] = -2 * one[0] - one[1 + k]
            # the side on which each pattern's angle lies is the one nearer to what the start says
            said = design @ start
            turned = said - 2 * np.pi * np.floor(said / (2 * np.pi) + 0.5)
            aimed = said - turned + np.where(turned < 0, -seen, seen)
            now, u = _scored(design, on, total, covariance, covariance @ (weighted @ aimed))
            if now > value + 1e-9:
                value, best = now, u
        # whole turns show in nothing
        best[1:] -= 2 * np.pi * np.floor(best[1:] / (2 * np.pi) + 0.5)
    return value, best, np.diag(covariance).copy()


@numba.njit(cache=True)
def _single(design: np.ndarray, total: np.ndarray, seen: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return the gene's own angle and each turn's, from the largest pattern without others; `rest` where there is none."""
    found = rest.copy()
    for k in range(design.shape[1]):
        largest = 0.0
        for row in range(len(design)):
            others = np.abs(design[row, 1:]).sum() - (np.abs(design[row, k]) if k else 0.0)
            if others == 0 and (k == 0 or design[row, k] != 0) and total[row] > largest:
                largest = total[row]
                found[k] = seen[row] if k == 0 else (seen[row] - found[0]) * design[row, k]
    return found


@numba.njit(cache=True)
def _scored(
    design: np.ndarray, on: np.ndarray, total: np.ndarray, covariance: np.ndarray, u: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the log-likelihood and the angles after Fisher scoring from `u`.

    Parameters
    ----------
    design, on, total
        As in `fit`.
    covariance
        Inverse of the Fisher information.
    u
        Angles to begin at.
    """
    best, value = u, likelihood(design @ u, on, total)
    for _ in range(STEPS):
        angle = design @ u
        slope = np.empty_like(angle)
        for k in range(len(angle)):
            sine = math.sin(angle[k])
            if abs(sine) < 1e-2:
                sine = math.copysign(1e-2, sine)
            slope[k] = 2 * (on[k] - total[k] * math.sin(angle[k] / 2) ** 2) / sine
        u = u + covariance @ (design.T @ slope)
        now = likelihood(design @ u, on, total)
        if now <= value + 1e-9:
            break
        best, value = u, now
    return value, best
