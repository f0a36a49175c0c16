"""What a comparison is made of: data sets, models, seeds, budget; typed, read from YAML, hashed entry by entry."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import config
from experiments.methods.registry import METHODS
from experiments.run_folder import plain
from samplers.errors import InputError, nearest

TASKS = (
    "integration", "scgraph", "clustering", "trajectory", "classification", "held-out-batches", "generation", "novelty",
)  # fmt: skip


@dataclass(frozen=True)
class DataSpec:
    """A data set of a comparison.

    Attributes
    ----------
    name
        Its name in tables.
    source
        A name of `experiments.data.datasets.NAMED`, or an .h5ad file relative to the comparison's `data_root`.
    batch_key, label_key, layer
        Where batches, types and counts are.
    n_top_genes
        Highly variable genes to use; None for all.
    tasks
        Tasks in the place of the comparison's.
    time_keys, root, branch_key
        Of the trajectory, see `evaluation.reference`.
    pairs
        Types that are hard to tell apart.
    novel_type
        The type that is held out in the task "novelty".
    max_epochs
        In the place of the comparison's.
    models
        Names of the models to run here; all by default.
    n_cells
        Take a stratified subsample of this size, the same for every model and seed; all cells by default.
    optional
        Leave the set out where its file is not there.
    note
        Where to get it, what to expect.
    """

    name: str
    source: str
    batch_key: str | None = None
    label_key: str | None = None
    layer: str | None = None
    n_top_genes: int | None = 2000
    tasks: tuple[str, ...] | None = None
    time_keys: tuple[str, ...] = ()
    root: str | None = None
    branch_key: str | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    novel_type: str | None = None
    max_epochs: int | None = None
    models: tuple[str, ...] | None = None
    n_cells: int | None = None
    optional: bool = False
    note: str = ""


@dataclass(frozen=True)
class ModelSpec:
    """A model of a comparison: a method of `experiments.methods.registry.METHODS` with options, under a name of its own.

    Attributes
    ----------
    name
        Its name in tables.
    method, options
        What fits it.
    seeds
        Those of the comparison's seeds that it runs with; all by default. Give two or more: one has no spread.
    tasks
        Those of the tasks that it is scored on; all by default.
    """

    name: str
    method: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    seeds: tuple[int, ...] | None = None
    tasks: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Comparison:
    """A grid of data sets, models and seeds under one budget.

    Attributes
    ----------
    name
        Title of the report.
    datasets, models, seeds
        The grid.
    ours
        Name of the model that the others are compared with.
    tasks
        Of `TASKS`.
    task_seeds
        Tasks that run with some of the seeds only: name to seeds. Each of "classification" (with "generation"),
        "held-out-batches" and "novelty" trains a model anew.
    max_epochs, batch_size, n_hidden, n_layers
        The budget of every model that trains.
    snapshots
        Epochs after which the embedding of the first seed is scored too.
    max_cells
        Score a stratified subsample above this size.
    data_root
        Folder of the files.
    """

    name: str
    datasets: tuple[DataSpec, ...]
    models: tuple[ModelSpec, ...]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    ours: str = "qbmvae"
    tasks: tuple[str, ...] = TASKS
    task_seeds: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    max_epochs: int = 100
    batch_size: int = 128
    n_hidden: int = 128
    n_layers: int = 2
    snapshots: tuple[int, ...] = ()
    max_cells: int = 10_000
    data_root: str = "."

    def fits(self) -> list[tuple[DataSpec, ModelSpec, int]]:
        """Return data set, model and seed of every entry: all models of the first seed first, data set by data set.

        A model without randomness is run for the first seed only.
        """
        return [
            (data, model, seed)
            for i, seed in enumerate(self.seeds)
            for data in self.datasets
            for model in self.models
            if (i == 0 or not METHODS[model.method].deterministic)
            and (model.seeds is None or seed in model.seeds)
            and (data.models is None or model.name in data.models)
        ]

    def fit_tasks(self, data: DataSpec, model: ModelSpec, seed: int) -> tuple[str, ...]:
        """Return the tasks of an entry.

        Parameters
        ----------
        data, model, seed
            The entry.
        """
        return tuple(
            task
            for task in data.tasks or self.tasks
            if (model.tasks is None or task in model.tasks) and seed in self.task_seeds.get(task, (seed,))
        )

    def fit_hash(self, data: DataSpec, model: ModelSpec, seed: int) -> str:
        """Return a hash of everything that an entry's result depends on, versions aside.

        Parameters
        ----------
        data, model, seed
            The entry.
        """
        budget = {f: getattr(self, f) for f in ("max_epochs", "batch_size", "n_hidden", "n_layers", "max_cells")}
        snapshots = self.snapshots if seed == self.seeds[0] else ()
        described = {
            "data": {**dataclasses.asdict(data), "note": "", "models": None, "optional": False, "tasks": None},
            "model": {"method": model.method, "options": model.options, "preset": METHODS[model.method].options},
            "seed": seed,
            "tasks": self.fit_tasks(data, model, seed),
            "budget": budget,
            "snapshots": snapshots,
        }
        return hashlib.sha256(json.dumps(plain(described), sort_keys=True).encode()).hexdigest()[:16]


def load_config(path: str | Path, overrides: dict[str, Any] | None = None) -> Comparison:
    """Read a comparison from YAML.

    Parameters
    ----------
    path
        The file, or the name of a shipped configuration; `data_root` in it is relative to the file's folder.
    overrides
        Settings that win, `{"seeds": [0, 1]}`; `datasets` and `models` also take a list of names to keep.

    Raises
    ------
    InputError
        For unknown settings, models or tasks, duplicated names, or values of the wrong kind.
    """
    path = config.find(path)
    return resolve(config.read_yaml(path), overrides, path)


def resolve(values: dict[str, Any], overrides: dict[str, Any] | None = None, file: Path | None = None) -> Comparison:
    """Return a comparison from plain values.

    Parameters
    ----------
    values
        What a file holds.
    overrides
        As in `load_config`; keys with dots go deeper.
    file
        The file: see `experiments.config.data_folder` for what it says about `data_root`.

    Raises
    ------
    InputError
        As `load_config`.
    """
    where = "comparison" if file is None else str(file)
    overrides = dict(overrides or {})
    for key in ("datasets", "models"):
        wanted = overrides.get(key)
        if isinstance(wanted, str):
            wanted = [w.strip() for w in wanted.split(",")]
        if isinstance(wanted, list) and all(isinstance(w, str) for w in wanted) and key in values:
            have = {(entry if isinstance(entry, str) else entry.get("name")): entry for entry in values[key]}
            for name in wanted:
                if name not in have and not (key == "models" and name in METHODS):
                    raise InputError(f"{where} has no {key[:-1]} {name!r}{nearest(name, have)}")
            overrides[key] = [have.get(name, name) for name in wanted]
    root = config.data_folder(overrides.pop("data_root", None), file, values.get("data_root"))
    values = {**values, "data_root": str(root)}
    config.apply(values, overrides)
    if isinstance(values.get("models"), list):
        values["models"] = [_model(entry, where) for entry in values["models"]]
    comparison = config.build(Comparison, values, where)
    _check(comparison, where)
    return comparison


def _model(entry: Any, where: str) -> Any:
    """Return a model as a mapping: a name alone is a method by that name."""
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, dict) or "name" not in entry:
        raise InputError(f"{where}: a model is a name or a mapping with 'name', not {entry!r}")
    entry = {"method": entry["name"], **entry}
    require_models([entry["method"]], f"{where}: ")
    return entry


def require_models(names: Iterable[str], where: str = "") -> None:
    """Raise `InputError`, which `where` opens, for a name that is no model's.

    Raises
    ------
    InputError
        Names the nearest model.
    """
    for name in names:
        if name not in METHODS:
            raise InputError(f"{where}there is no model {name!r}{nearest(name, METHODS)}")


def _check(comparison: Comparison, where: str) -> None:
    for kind in ("datasets", "models"):
        names = [entry.name for entry in getattr(comparison, kind)]
        repeated = {n for n in names if names.count(n) > 1}
        if repeated:
            raise InputError(f"{where}: {kind} repeat the name {min(repeated)!r}")
        for name in names:
            if "/" in name or "__" in name or name.startswith("."):
                raise InputError(f"{where}: the name {name!r} cannot be part of a file name")
    given: tuple[DataSpec | ModelSpec, ...] = (*comparison.datasets, *comparison.models)
    for tasks in (comparison.tasks, tuple(comparison.task_seeds), *(entry.tasks or () for entry in given)):
        for task in tasks:
            if task not in TASKS:
                raise InputError(f"{where}: there is no task {task!r}{nearest(task, TASKS)}")
    if not comparison.seeds or not all(isinstance(s, int) and s >= 0 for s in comparison.seeds):
        raise InputError(f"{where}: seeds are whole numbers from 0, one or more, not {list(comparison.seeds)}")
    narrowed = {m.name: m.seeds for m in comparison.models if m.seeds is not None} | comparison.task_seeds
    for name, seeds in narrowed.items():
        if not seeds or not isinstance(seeds, list | tuple):
            raise InputError(f"{where}: the seeds of {name!r} are a list of whole numbers, one or more, not {seeds!r}")
    if comparison.ours not in {m.name for m in comparison.models}:
        raise InputError(f"{where}: ours names {comparison.ours!r}, which is not among the models")
