"""A training run of one head on the user's tables, its folder, and predictions from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments import run_folder
from experiments.config import build
from experiments.drug_response import plots
from experiments.drug_response.config import Tables, read_data
from experiments.drug_response.controls import MEANS, fit_control
from experiments.drug_response.metrics import all_metrics
from experiments.drug_response.report import train_report
from qbmvae.core.training.loop import Loop
from qbmvae.drug_response import DrugResponse, NetworkOptions, TrainingOptions, molecule, read_table, split
from qbmvae.drug_response.response import from_response
from qbmvae.drug_response.tables import LINE_KEY, keys
from qbmvae.drug_response.training import default_epochs
from samplers.errors import InputError, nearest

MODEL, CHECKPOINT = "model.safetensors", "checkpoint.pt"


@dataclass(frozen=True)
class TrainConfig:
    """One training run.

    Parameters
    ----------
    tables
        The data.
    network, training
        See `NetworkOptions` and `TrainingOptions`.
    split
        "random", "blind-drug", "blind-line", "blind-tissue" or "blind-tissue-and-drug".
    max_pairs
        Use a random subset of this many pairs.
    seed
        Of subset, split, weights and order.
    """

    tables: Tables
    network: NetworkOptions = field(default_factory=NetworkOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    split: str = "random"
    max_pairs: int | None = None
    seed: int = 0


def train_run(config: TrainConfig, out: Path, *, progress: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Train in a run folder, or go on where it was stopped; return the metrics.

    Parameters
    ----------
    config
        What to train.
    out
        The folder: `config.yaml`, `versions.json`, `history.csv`, `model.safetensors`, `metrics.json`,
        `predictions_test.csv`, `report.html`; `checkpoint.pt` while it trains.
    progress
        Called with a line an epoch.
    """
    data = read_data(config.tables)
    for note in data.notes:
        progress(note)
    if config.max_pairs is not None and config.max_pairs < len(data):
        data = data.take(np.sort(np.random.default_rng(config.seed).permutation(len(data))[: config.max_pairs]))
    parts = split(data, config.split, seed=config.seed)  # type: ignore[arg-type]
    epochs = config.training.epochs or default_epochs(len(parts.train))
    training = replace(config.training, epochs=epochs, seed=config.seed)
    model = DrugResponse(data, config.network, seed=config.seed)
    run_folder.create(out, asdict(config), started=(out / CHECKPOINT).is_file())

    remaining = run_folder.Remaining(epochs)

    def line(loop: Loop) -> None:
        train_mse, validation_mse = (loop.history[f"mse_{part}"][-1][1] for part in ("train", "validation"))
        left = remaining.after(loop.epoch)
        progress(f"epoch {loop.epoch}/{epochs}: MSE {train_mse:.5f}, validation {validation_mse:.5f}{left}")

    model.fit(data, parts, training, checkpoint=out / CHECKPOINT, progress=line)
    model.save(out / MODEL)
    history = pd.DataFrame(model.history).rename_axis("epoch").reset_index()
    run_folder.write_text(out / "history.csv", history.assign(epoch=history["epoch"] + 1).to_csv(index=False))

    predicted = {part: model.predict_pairs(data, getattr(parts, part)) for part in ("validation", "test")}
    metrics: dict[str, Any] = {
        "head": config.network.head,
        "split": config.split,
        "target": data.target,
        "epochs": len(history),
        "best_epoch": int(history["mse_validation"].argmin()) + 1,
        **{f"n_{part}": len(getattr(parts, part)) for part in ("train", "validation", "test")},
        "trainable": model.network.n_trainable(),
    }
    for part, values in predicted.items():
        rows = getattr(parts, part)
        metrics[part] = all_metrics(data.response[rows], values, data.drug[rows])
    for name, control in MEANS.items():
        predict_mean = fit_control(control, data, parts, config.seed)
        metrics[name] = all_metrics(data.response[parts.test], predict_mean(parts.test), data.drug[parts.test])
    metrics["notes"] = data.notes
    run_folder.write_json(out / "metrics.json", metrics)

    test = parts.test
    own = from_response(predicted["test"], data.target)
    table = pd.DataFrame(
        {
            "drug_id": np.array(data.drug_ids, dtype=object)[data.drug[test]],
            "drug": np.array(data.drug_names, dtype=object)[data.drug[test]],
            "cosmic_id": np.array(data.line_ids, dtype=object)[data.line[test]],
            "observed": data.values[test],
            "predicted": own,
        }
    )
    run_folder.write_text(out / "predictions_test.csv", table.to_csv(index=False))
    logarithmic = data.target == "ic50"
    plots.scatter(
        np.log(data.values[test]) if logarithmic else data.values[test],
        np.log(own) if logarithmic else own,
        out / "scatter.png",
        label="AUC" if data.target == "auc" else "ln IC50 (µM)",
    )
    train_report(out, metrics, model.history)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return metrics


def lines(metrics: dict[str, Any]) -> str:
    """Return the test's metrics of the model and of the means, a line each, those within drugs first."""
    shown = [f"{'test':<20}{'within drugs: Pearson':>23}{'Spearman':>10}{'MSE':>10}{'Pearson':>9}"]
    for name in ("test", *MEANS):
        m = metrics[name]
        numbers = [m["pearson_within_drug"], m["spearman_within_drug"], m["mse"], m["pearson"]]
        text = ["-" if not np.isfinite(v) else f"{v:.4f}" for v in numbers]
        label = metrics["head"] if name == "test" else MEANS[name]
        shown.append(f"{label:<20}{text[0]:>23}{text[1]:>10}{text[2]:>10}{text[3]:>9}")
    return "\n".join(shown)


def read_run(folder: Path) -> TrainConfig:
    """Return the configuration of a run folder."""
    return build(TrainConfig, run_folder.read_config(folder), str(folder / run_folder.CONFIG))


def predict_run(
    folder: Path, *, smiles: Path | None = None, pairs: Path | None = None, features: Path | None = None
) -> pd.DataFrame:
    """Return predictions of a finished run.

    Parameters
    ----------
    folder
        The run.
    smiles
        A table with `smiles` and, if there, `drug`: predicted on every line of `features`.
    pairs
        A table with `cosmic_id` and either `smiles` or `drug_id` (a drug of the training tables).
    features
        Cell-line features; by default those of training.

    Raises
    ------
    InputError
        Where neither molecules nor pairs are given or both, the run is not finished, or a row cannot be predicted.
    """
    if (smiles is None) == (pairs is None):
        raise InputError("give either --smiles (molecules on every line) or --pairs (molecule and line a row)")
    if not (folder / MODEL).is_file():
        raise InputError(f"{folder} holds no {MODEL}: is it a finished run of `qbmvae drug train`?")
    model = DrugResponse.load(folder / MODEL)
    lines = read_table(features if features is not None else run_folder.read_config(folder)["tables"]["features"])
    table = read_table(smiles if smiles is not None else pairs)  # type: ignore[arg-type]
    source = "the --smiles table" if smiles is not None else "the --pairs table"
    strings, names = _molecules(table, source, model)
    distinct = {s: k for k, s in enumerate(dict.fromkeys(strings))}
    rows = {s: row for row, s in reversed(list(enumerate(strings)))}
    graphs = [molecule(s, where=f"{source}, row {rows[s]}, drug {names[rows[s]]!r}") for s in distinct]
    if pairs is None:
        return model.predict_graphs(graphs, [names[rows[s]] for s in distinct], lines)
    known = model.align(lines).index
    if LINE_KEY not in table.columns:
        raise InputError(f"{source} has no column {LINE_KEY!r}{nearest(LINE_KEY, table.columns)}")
    wanted = keys(table[LINE_KEY])
    at = known.get_indexer(wanted)
    if (at < 0).any():
        row = int(np.flatnonzero(at < 0)[0])
        raise InputError(f"{source}, row {row}: line {wanted[row]!r} has no features{nearest(wanted[row], known)}")
    positions = np.array([distinct[s] for s in strings])
    found = model.predict_graphs(graphs, list(distinct), lines, (positions, at))
    return found.assign(drug=names, cosmic_id=table[LINE_KEY].to_numpy())


def _molecules(table: pd.DataFrame, source: str, model: DrugResponse) -> tuple[list[str], list[str]]:
    if not len(table):
        raise InputError(f"{source} is empty")
    if "smiles" in table.columns:
        missing = np.flatnonzero(table["smiles"].isna())
        if len(missing):
            raise InputError(f"{source}, row {missing[0]}: the SMILES is empty")
        strings = [str(s).strip() for s in table["smiles"]]
        title = next((c for c in ("drug", "drug_id") if c in table.columns), None)
        names = strings if title is None else [str(v) for v in keys(table[title])]
        return strings, names
    if "drug_id" not in table.columns:
        raise InputError(f"{source} has no column 'smiles' (or 'drug_id'){nearest('smiles', table.columns)}")
    ids = keys(table["drug_id"])
    for row, key in enumerate(ids):
        if key not in model.drugs:
            raise InputError(
                f"{source}, row {row}: drug_id {key!r} was not in training{nearest(key, model.drugs)}: give its SMILES"
            )
    return [model.drugs[k]["smiles"] for k in ids], [model.drugs[k]["name"] for k in ids]
