"""Pseudobulk groups: the mean response of each perturbation in each context, against the controls of that context.

Parameters
----------
labels
    Perturbation of each cell, `(n_cells,)`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from samplers.errors import InputError


class Groups(NamedTuple):
    """One row a (perturbation, context): a context is a replicate, patient or cell line, or a random share of the cells.

    Attributes
    ----------
    labels, contexts
        (n_groups,) names.
    rows
        Cells of each group.
    control_rows
        Control cells of each context.
    delta, error
        (n_groups, n_genes) float32: mean minus control mean, and its standard error.
    """

    labels: np.ndarray
    contexts: np.ndarray
    rows: list[np.ndarray]
    control_rows: dict[str, np.ndarray]
    delta: np.ndarray
    error: np.ndarray

    def subset(self, keep: np.ndarray) -> Groups:
        """Return the groups of a boolean mask."""
        index = np.flatnonzero(keep)
        return self._replace(
            labels=self.labels[index],
            contexts=self.contexts[index],
            rows=[self.rows[i] for i in index],
            delta=self.delta[index],
            error=self.error[index],
        )


def moments(x: sp.csr_matrix | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of each gene, float64, without making a sparse matrix dense."""
    mean = np.asarray(x.mean(axis=0, dtype=np.float64)).ravel()
    square = np.square(x) if isinstance(x, np.ndarray) else x.multiply(x)
    second = np.asarray(square.mean(axis=0, dtype=np.float64)).ravel()
    return mean, np.maximum(second - mean**2, 0.0)


def random_contexts(labels: np.ndarray, n_shares: int, seed: int) -> np.ndarray:
    """Deal the cells of every perturbation evenly into `n_shares` contexts, as pseudo-replicates.

    Parameters
    ----------
    n_shares
        Contexts.
    seed
        Of the deal.
    """
    rng = np.random.default_rng(seed)
    share = np.empty(len(labels), dtype=int)
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        share[rng.permutation(rows)] = np.arange(rows.size) % n_shares
    return np.array([f"share-{i}" for i in share])


def group(
    x: sp.csr_matrix | np.ndarray, labels: np.ndarray, contexts: np.ndarray, control: str, min_cells: int = 1
) -> Groups:
    """Form the groups of a screen; a perturbation in a context without controls is left out.

    Parameters
    ----------
    x
        Log1p-normalised expression, `(n_cells, n_genes)`.
    contexts
        Of each cell, `(n_cells,)`.
    control
        Label of the controls.
    min_cells
        Cells that a group needs.

    Raises
    ------
    InputError
        No context holds both controls and perturbed cells.
    """
    control_rows, control_moments = {}, {}
    for context in np.unique(contexts[labels == control]):
        rows = np.flatnonzero((labels == control) & (contexts == context))
        control_rows[str(context)], control_moments[str(context)] = rows, moments(x[rows])
    order = np.lexsort((contexts, labels))
    keys = np.stack([labels[order], contexts[order]], 1)
    starts = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]).any(1)])
    names, where, parts, delta, error = [], [], [], [], []
    for start, stop in zip(starts, np.r_[starts[1:], len(order)], strict=True):
        name, context = (str(k) for k in keys[start])
        if name == control or context not in control_rows or stop - start < min_cells:
            continue
        rows = np.sort(order[start:stop])
        mean, variance = moments(x[rows])
        base, base_variance = control_moments[context]
        names.append(name)
        where.append(context)
        parts.append(rows)
        delta.append((mean - base).astype(np.float32))
        # a floor of one cell's share keeps genes that are off in a small group from looking certain
        floor = 1.0 / len(rows) ** 2
        error.append(
            np.sqrt(variance / len(rows) + base_variance / len(control_rows[context]) + floor).astype(np.float32)
        )
    if not names:
        raise InputError(
            "no perturbed cells share a context with control cells: check the context column or leave it out"
        )
    return Groups(np.array(names), np.array(where), parts, control_rows, np.stack(delta), np.stack(error))
