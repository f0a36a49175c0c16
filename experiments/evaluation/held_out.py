"""Scores of cells that no part of the model has seen: types, batches, counts, and types never seen at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from experiments.evaluation.cpu_clock import Clock
from experiments.methods.base import Fitted, Task
from experiments.methods.registry import METHODS, fit
from experiments.tasks import classification as c
from experiments.tasks.generation import generation
from experiments.tasks.novelty import knn_distance, novelty
from samplers.errors import InputError


class Model(Protocol):
    """A compared model: a name of `METHODS` and its options."""

    @property
    def method(self) -> str:
        """Its name."""

    @property
    def options(self) -> dict[str, Any]:
        """What its fit is called with."""


def held_out_scores(
    model: Model,
    task: Task,
    tasks: Sequence[str],
    pairs: Sequence[Sequence[str]] = (),
    novel_type: str | None = None,
    clock: Clock | None = None,
) -> dict[str, Any]:
    """Return the scores of the tasks that hold cells out; each fits the model anew on the cells that are left.

    Parameters
    ----------
    model, task
        The model and the whole data set.
    tasks
        Which of "classification", "held-out-batches", "generation" and "novelty".
    pairs
        Pairs of types that are hard to tell apart.
    novel_type
        The type that is held out in "novelty".
    clock
        Takes the time of each task.
    """
    clock = clock or Clock()
    scores: dict[str, Any] = {}
    labelled = task.label_key is not None and task.adata.obs[task.label_key].nunique() > 1
    # a model that has seen the labels of the training cells is still judged on the others' alone
    if {"classification", "generation"} & set(tasks):
        rows = np.flatnonzero(task.adata.obs[task.label_key].notna()) if labelled else np.arange(task.adata.n_obs)
        strata = task.adata.obs[task.label_key].astype(str).to_numpy()[rows] if labelled else np.zeros(len(rows))
        train, test = next(c.folds(strata, None, 5, task.seed))
        seen = _expressed(task, rows[train])
        with clock("fit without test cells"):
            fitted = _fit_on(model, seen, rows[train])
        if "classification" in tasks and labelled and fitted.inductive:
            with clock("classification"):
                scores["classification"] = classify(fitted, seen, rows[train], rows[test], pairs)
        if "generation" in tasks and fitted.generate is not None:
            with clock("generation"):
                scores["generation"] = generate(fitted, seen, rows[test])
    if "held-out-batches" in tasks and labelled and task.batch_key is not None and _inductive(model):
        with clock("held-out-batches"):
            scores["held-out-batches"] = held_out_batches(model, task)
    if "novelty" in tasks and labelled and novel_type is not None and _inductive(model):
        with clock("novelty"):
            scores["novelty"] = held_out_type(model, task, novel_type)
    return scores


def _inductive(model: Model) -> bool:
    """Return whether the model can embed cells that it was not fitted on, told without fitting it."""
    return METHODS[model.method].inductive


def _expressed(task: Task, rows: np.ndarray) -> Task:
    """Return the task without the genes that no training cell expresses: nothing can be learned of them."""
    from experiments.data.datasets import counts_of

    counts = np.asarray(counts_of(task.adata, task.layer)[np.sort(rows)].sum(axis=0)).ravel()
    return task if (counts > 0).all() else replace(task, adata=task.adata[:, counts > 0].copy())


def _fit_on(model: Model, task: Task, rows: np.ndarray) -> Fitted:
    part = task.adata[np.sort(rows)].copy()
    return fit(model.method, replace(task, adata=part, snapshots=()), **model.options)


def classify(
    fitted: Fitted, task: Task, train: np.ndarray, test: np.ndarray, pairs: Sequence[Sequence[str]] = ()
) -> dict[str, Any]:
    """Return scores of classifiers on held-out cells, all that embeds them fitted on the training cells alone.

    Parameters
    ----------
    fitted, task
        The model, and all cells.
    train, test
        Rows of each side.
    pairs
        Types that are hard to tell apart.

    Raises
    ------
    InputError
        Where embedding the test cells changed the model.
    """
    assert task.label_key is not None
    label = task.adata.obs[task.label_key].astype(str).to_numpy()
    before = fitted.fingerprint()
    x_train, x_test = fitted.embed(task.adata[train].copy()), fitted.embed(task.adata[test].copy())
    if fitted.fingerprint() != before:
        raise InputError("embedding the test cells changed the encoder: its scores would be leaked")
    predicted = {k: c.predict(k, x_train, label[train], x_test, task.seed) for k in c.CLASSIFIERS}
    scores: dict[str, Any] = c.classification_scores(label[test], predicted["xgboost"])
    for name in c.CLASSIFIERS[1:]:
        found = c.classification_scores(label[test], predicted[name])
        scores[name] = {k: found[k] for k in ("f1", "accuracy", "balanced_accuracy")}
    # a leak would lift it above chance
    shuffled = np.random.default_rng(task.seed).permutation(label[train])
    control = c.classification_scores(label[test], c.predict("knn", x_train, shuffled, x_test, task.seed))
    scores["shuffled labels"] = {
        "balanced_accuracy": control["balanced_accuracy"],
        "chance": 1 / len(np.unique(label[test])),
    }
    scores["close_pairs"] = {" / ".join(p): c.close_pair(label[test], predicted["xgboost"], p) for p in pairs}
    scores["rare_types"] = c.rare_types(label[test], predicted["xgboost"])
    return scores


def held_out_batches(model: Model, task: Task) -> dict[str, Any]:
    """Return scores on batches that neither encoder nor classifier saw: one fold of whole batches, the seed's choice."""
    assert task.label_key is not None and task.batch_key is not None
    labelled = np.flatnonzero(task.adata.obs[task.label_key].notna())
    batch = task.adata.obs[task.batch_key].astype(str).to_numpy()[labelled]
    if len(np.unique(batch)) < 2:
        return {}
    splits = list(c.folds(batch, batch, 5, task.seed))
    train, test = splits[task.seed % len(splits)]
    task = _expressed(task, labelled[train])
    fitted = _fit_on(model, task, labelled[train])
    if not fitted.inductive:
        return {}
    return classify(fitted, task, labelled[train], labelled[test])


def generate(fitted: Fitted, task: Task, test: np.ndarray) -> dict[str, float]:
    """Return bounds on held-out counts, and how generated cells compare with the held-out ones.

    Parameters
    ----------
    fitted, task, test
        The model, what it was fitted on, and rows of held-out cells.
    """
    from experiments.data.datasets import counts_of

    cells = task.adata[test].copy()
    label = None if task.label_key is None else cells.obs[task.label_key].astype(str).to_numpy()
    scores = {} if fitted.bounds is None else dict(fitted.bounds(cells))
    if fitted.generate is not None:
        made = fitted.generate(max(len(test), 200), task.seed)
        scores |= generation(counts_of(cells, task.layer), made, label, task.seed)
    return scores


def held_out_type(model: Model, task: Task, name: str) -> dict[str, Any]:
    """Return how well cells of a type that was never trained on can be told from new cells of known types.

    Parameters
    ----------
    model, task
        The model and the whole data set.
    name
        The type.

    Raises
    ------
    InputError
        Where there is no such type.
    """
    assert task.label_key is not None
    label = task.adata.obs[task.label_key].astype(str).to_numpy()
    novel, known = np.flatnonzero(label == name), np.flatnonzero(label != name)
    if not len(novel):
        raise InputError(f"there is no cell of the type {name!r} that is to be held out")
    train, test = next(c.folds(label[known], None, 5, task.seed))
    task = _expressed(task, known[train])
    fitted = _fit_on(model, task, known[train])
    if not fitted.inductive:
        return {}
    cells = [task.adata[rows].copy() for rows in (known[train], known[test], novel)]
    x = [fitted.embed(part) for part in cells]
    scores: dict[str, Any] = {"kNN distance": novelty(knn_distance(x[0], x[1]), knn_distance(x[0], x[2]))}
    if fitted.novelty is not None:
        own, foreign = fitted.novelty(cells[1]), fitted.novelty(cells[2])
        scores |= {score: novelty(own[score], foreign[score]) for score in own}
    # chosen beforehand, not by its result: the likelihood's bound, the distance where a model has none
    scores["auroc"] = scores.get("negative ELBO", scores["kNN distance"])["auroc"]
    return scores
