"""Predicted cells against observed ones as distributions, with the noise ceiling and the controls to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from experiments.comparison.statistics import lead
from experiments.perturbation.distribution import SCORES, compare, fixed_space
from qbmvae.perturbation import baselines
from qbmvae.perturbation.cells import make_cells
from qbmvae.perturbation.features import Features
from qbmvae.perturbation.groups import Groups
from samplers.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

CEILING = "ceiling (half against half)"
#: Fewest observed cells of a perturbation that can be halved and compared.
MIN_CELLS = 20
#: name -> (perturbation, number of cells) -> log1p-normalised cells
Predictor = Callable[[str, int], np.ndarray]


def dense(x: Any) -> np.ndarray:
    """Return cells as a dense float array."""
    return np.asarray(x.todense() if sp.issparse(x) else x, dtype=np.float64)


def controls(
    train_x: Any, train_labels: np.ndarray, basal: Any, groups: Groups, features: Features, control: str, seed: int
) -> dict[str, Predictor]:
    """Return the predictors to beat, by name.

    Parameters
    ----------
    train_x, train_labels
        Log1p-normalised training cells and their perturbations.
    basal
        Control cells to start from, those of the test's context.
    groups
        Training groups, of which the shifts are learned.
    features
        Of the perturbations.
    control
        Label of the controls.
    seed
        Of the cells drawn.

    Returns
    -------
    "no change": control cells. "mean shift": control cells with their mean moved to control mean plus the perturbation's
    own training shift, or the mean response where it was not seen. "ridge shift": the same with the shift that ridge
    regression predicts from the features. "nearest perturbation": training cells of the perturbation of the most similar
    features, the perturbation itself where it was seen.
    """
    mean = np.asarray(basal.mean(axis=0), dtype=np.float64).ravel()
    known, deltas = baselines.perturbation_means(groups)
    own = dict(zip(map(str, known), deltas, strict=True))

    def draws(name: str) -> np.random.Generator:
        return np.random.default_rng([seed, *name.encode()])

    def shifted(delta: np.ndarray, name: str, n: int) -> np.ndarray:
        return dense(make_cells(sp.csr_matrix(basal), mean, delta, n, how="scale", rng=draws(name)))

    def no_change(name: str, n: int) -> np.ndarray:
        return dense(basal[draws(name).choice(basal.shape[0], n, replace=basal.shape[0] < n)])

    def mean_shift(name: str, n: int) -> np.ndarray:
        return shifted(own.get(name, deltas.mean(0)), name, n)

    def ridge_shift(name: str, n: int) -> np.ndarray:
        return shifted(baselines.predict("ridge on features", groups, features, [name])[0], name, n)

    def nearest(name: str, n: int) -> np.ndarray:
        twin = name if name in own else baselines.nearest(groups, features, name)
        rows = np.flatnonzero(train_labels == twin)
        return dense(train_x[draws(name).choice(rows, n, replace=len(rows) < n)])

    found: dict[str, Predictor] = {"no change": no_change, "mean shift": mean_shift}
    if all(features.has(name) for name in own):
        found |= {"ridge shift": ridge_shift, "nearest perturbation": nearest}
    return found


def distribution_scores(
    predictors: Mapping[str, Predictor],
    observed_x: Any,
    observed_labels: np.ndarray,
    control: str,
    *,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Return one row a predictor and perturbation with every score, the ceiling among the predictors.

    The observed cells of a perturbation are halved: predictors make as many cells as the first half has and are
    compared with the second, as the first half is for the ceiling.

    Parameters
    ----------
    predictors
        From `controls`, and those to judge.
    observed_x, observed_labels
        Log1p-normalised test cells and their perturbations, controls included.
    control
        Label of the controls.
    seed
        Of the halves.
    progress
        Called with a line a perturbation.

    Raises
    ------
    InputError
        Where no perturbation has 20 cells or more, or there are no controls.
    """
    names, counts = np.unique(observed_labels[observed_labels != control], return_counts=True)
    names = names[counts >= MIN_CELLS]
    if not len(names):
        raise InputError(f"no perturbation has {MIN_CELLS} test cells or more: distributions cannot be compared")
    rng = np.random.default_rng(seed)
    base = dense(observed_x[rng.permutation(np.flatnonzero(observed_labels == control))[:1000]])
    if len(base) < 2:
        raise InputError("distributions cannot be compared without control cells")
    space = fixed_space(dense(observed_x[rng.permutation(observed_x.shape[0])[:5000]]), seed=seed)
    rows = []
    for name in names:
        order = rng.permutation(np.flatnonzero(observed_labels == name))
        first, second = (dense(observed_x[part]) for part in np.array_split(order, 2))
        made = {CEILING: first} | {label: predict(str(name), len(first)) for label, predict in predictors.items()}
        for label, cells in made.items():
            found = compare(cells, second, space, base, first, seed)
            rows.append({"predictor": label, "perturbation": str(name), "n_cells": len(first), **found})
        progress(f"distribution of {name}: {len(order)} cells")
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean of each score over perturbations and 1.96 standard errors, one row a predictor, ceiling first."""
    grouped = table.groupby("predictor", sort=False)[list(SCORES)]
    half = 1.96 * grouped.sem()
    return grouped.mean().join(half.add_suffix(" +-")).reset_index()


def verdict(table: pd.DataFrame, own: str) -> list[str]:
    """Say for MMD and energy distance whether `own` is better than each control, level or worse, paired by perturbation."""
    lines = []
    wide = table.pivot_table(index="perturbation", columns="predictor", values=["mmd", "energy"], sort=False)
    for score, label in (("mmd", "kernel distance (MMD)"), ("energy", "energy distance")):
        for other in wide[score].columns:
            if other in (own, CEILING):
                continue
            lines.append(lead(f"{label} against {other}", (wide[score][other] - wide[score][own]).to_numpy()))
    return lines


def cells_of(predicted: AnnData, x: Any, pert_key: str) -> Predictor:
    """Return a predictor that hands out cells predicted before.

    Parameters
    ----------
    predicted
        Cells with their perturbation in obs.
    x
        Their log1p-normalised expression.
    pert_key
        The column.
    """
    labels = predicted.obs[pert_key].astype(str).to_numpy()

    def predict(name: str, n: int) -> np.ndarray:
        rows = np.flatnonzero(labels == name)
        if len(rows) < n:
            raise InputError(f"{len(rows)} cells of {name!r} are predicted, {n} are needed")
        return dense(x[rows[:n]])

    return predict
