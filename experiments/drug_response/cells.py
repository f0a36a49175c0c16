"""What a comparison and a sweep train: one cell is a head or a control, a number of pairs, a seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from experiments.comparison.grid import Compute, Entry, adopt, read_entry, run_experiment
from experiments.drug_response.config import ON_MEANS, CompareConfig, Size, SplitName, SweepConfig, plain, read_data
from experiments.drug_response.controls import fit_control
from experiments.drug_response.metrics import all_metrics, by_mechanism
from qbmvae.drug_response import DrugData, DrugResponse, NetworkOptions, Split, TrainingOptions, sized_split
from qbmvae.drug_response.model import n_trainable

#: The data of a process's cells, read once.
shared_data = lru_cache(maxsize=1)(read_data)


def run_grid(
    config: CompareConfig | SweepConfig,
    out: Path,
    entries: Sequence[Entry],
    compute: Compute,
    *,
    say: Callable[[str], None],
    workers: int = 1,
    ray: str | None = None,
) -> list[dict[str, Any]]:
    """Read the tables, say what is to be known of them, and compute what is missing; see `run_experiment`.

    Parameters
    ----------
    config
        A comparison's or a sweep's.
    out, entries, compute, say, workers, ray
        As in `run_experiment`.
    """
    adopt(out)
    shared_data.cache_clear()
    if any(read_entry(out, entry) is None for entry in entries):
        for note in shared_data(config.tables).notes:
            say(note)
    return run_experiment(out, plain(config), entries, compute, workers=workers, ray=ray, say=say)


@dataclass(frozen=True)
class Cell:
    """What is run: `name` is a head or a control."""

    name: str
    size: Size
    seed: int
    split: SplitName = "random"

    @property
    def key(self) -> str:
        """A file name."""
        kind = "" if self.split == "random" else f"-{self.split}"
        return f"{self.name}-{self.size.train}-{self.seed}{kind}"


def grid(config: CompareConfig) -> list[Cell]:
    """Return all cells; a seed is complete before the next one begins."""
    names = (*config.heads, *config.controls)
    return [
        Cell(name, size, seed, split)
        for seed in config.seeds
        for split in config.splits
        for size in config.sizes
        for name in names
    ]


def run_cell(config: CompareConfig, data: DrugData, cell: Cell) -> dict[str, Any]:
    """Train, choose the epoch by validation, and measure on the paper's test size and on the common test.

    Parameters
    ----------
    config, data, cell
        What is trained, on which pairs.

    Returns
    -------
    name, n_train, seed, split, `paper` and `common` (metrics of the two tests), `mechanisms` (within drugs on
    the common test, where the drug table names mechanisms), seconds of CPU; for a head also `last` (the
    metrics of the last epoch on the common test), `history`, `best_epoch` and `trainable` weights of the head.
    """
    size, seed = cell.size, cell.seed
    held_out = max(config.common_test, size.test)
    whole = sized_split(data, n_train=size.train, n_validation=held_out, n_test=held_out, kind=cell.split, seed=seed)
    parts = Split(whole.train, whole.validation[: size.test], whole.test[: size.test])
    common = whole.test[: config.common_test]
    begin = time.process_time()
    result: dict[str, Any] = {
        "name": cell.name,
        "n_train": size.train,
        "seed": seed,
        "split": cell.split,
        "size": asdict(size),
    }

    def measured(predict: Any) -> dict[str, Any]:
        predicted = dict(zip(whole.test.tolist(), predict(whole.test), strict=True))
        found: dict[str, Any] = {}
        for test, rows in (("paper", parts.test), ("common", common)):
            values = np.array([predicted[row] for row in rows.tolist()])
            found[test] = all_metrics(data.response[rows], values, data.drug[rows])
        if data.mechanisms is not None:
            drug = data.drug[common]
            found["mechanisms"] = by_mechanism(data.response[common], values, drug, data.mechanisms[drug])
        return found

    if cell.name in config.controls:
        result |= measured(fit_control(cell.name, data, parts, seed))
    else:
        model = DrugResponse(
            data,
            NetworkOptions(head=cell.name.removesuffix(ON_MEANS), cell_encoder=config.tables.cell_encoder),
            seed=seed,
        )
        training = TrainingOptions(
            epochs=size.epochs,
            batch_size=size.batch_size,
            learning_rate=config.learning_rate,
            optimiser=config.optimiser,
            pairs_per_line=config.pairs_per_line,
            baseline="means" if cell.name.endswith(ON_MEANS) else "none",
            seed=seed,
        )
        last: dict[str, float] = {}

        def at_end(state: Any) -> None:
            if state.epoch == size.epochs:
                last.update(measured(lambda rows: model.predict_pairs(data, rows))["common"])

        model.fit(data, parts, training, watch_test=True, progress=at_end)
        result |= measured(lambda rows: model.predict_pairs(data, rows))
        result |= {
            "last": last,
            "history": model.history,
            "best_epoch": 1 + model.history["mse_validation"].index(min(model.history["mse_validation"])),
            "trainable": n_trainable(model.network.head),
            "share": None if model.means is None else model.means.share,
        }
    return result | {"seconds": time.process_time() - begin}
