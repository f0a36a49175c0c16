"""`qbmvae map`, `predict`: other cells and a trained run: extend its model to them, tell their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from experiments.cli import checks
from experiments.cli.common import DEFAULTS, Common, Positive, use_threads
from experiments.cli.models import InMemory, trained_text
from samplers.errors import InputError


def register(app: App) -> None:
    """Add this family's commands to `app`."""
    app.command(map_query, name="map")
    app.command(predict)


def map_query(
    run: Path,
    /,
    *data: Annotated[str, Parameter(required=True)],
    out: Path,
    max_epochs: Positive = 20,
    seed: int = 0,
    in_memory: InMemory = "auto",
    report: bool = True,
    threads: Positive | None = None,
    common: Common = DEFAULTS,
) -> None:
    """Map query cells onto a trained run: extend its model to their batches, and write a run folder of them.

    The reference's weights stay as they are; what the decoder adds for batches that the reference has not seen is trained
    (scArches). The new run is embedded, evaluated and generated from as any other; both runs' embeddings share one space.

    Example: qbmvae map run1 query.h5ad --out run2

    Parameters
    ----------
    run
        A run folder of `qbmvae train`: the reference.
    data
        Query cells, named as for `train`, with the reference's batch column; genes are matched by name.
    out
        Run folder to make; new or empty.
    max_epochs
        Passes over the query.
    seed
        The same seed gives the same model.
    in_memory
        Whether to read all counts into memory, as for `train`.
    report
        Write report.html.
    threads
        Threads of torch; OMP_NUM_THREADS, or else 1, by default.
    """
    setup = checks.trained(run)["setup"]
    checks.new_folder(out)
    checks.cells(data, **checks.needed(setup))
    use_threads(threads)
    from experiments.training import train_run

    metrics = train_run(
        out, data, setup={}, model={}, train={"max_epochs": max_epochs}, seed=seed, in_memory=in_memory,
        progress=common.shows_progress, report=report, reference=run,
    )  # fmt: skip
    common.answer({"run": str(out), **metrics}, trained_text(out, metrics, report))


def predict(
    run: Path,
    /,
    *data: Annotated[str, Parameter(required=True)],
    out: Path,
    method: Literal["machine", "softmax", "knn"] = "machine",
    in_memory: InMemory = "auto",
    threads: Positive | None = None,
    common: Common = DEFAULTS,
) -> None:
    """Predict the labels of cells with a run that was trained with --labels-key and --unlabeled-category.

    Writes a table with the columns obs_names, label and probability: the most probable label of each cell. Of several
    columns of labels their tables follow each other, the column's name in labels_key.

    Example: qbmvae predict run1 query.h5ad --out labels.csv

    Parameters
    ----------
    run
        A run folder of `qbmvae train`.
    data
        Cells, named as for `train`; genes are matched by name.
    out
        CSV file to write.
    method
        machine: the label units of the Boltzmann machine. softmax and knn are plain controls: a regression on the bits,
        votes of the nearest labelled cells.
    in_memory
        Whether to read all counts into memory, as for `train`.
    threads
        Threads of torch; OMP_NUM_THREADS, or else 1, by default.

    Raises
    ------
    InputError
        Where the run knows no labels.
    """
    checks.suffix(out, (".csv",))
    setup = checks.trained(run)["setup"]
    if setup.get("unlabeled_category") is None:
        raise InputError(
            f"{run} knows no labels: train it with --labels-key KEY --unlabeled-category WORD, where WORD marks the cells "
            "without a label"
        )
    checks.cells(data, **checks.needed(setup))
    use_threads(threads)
    from experiments.training import predict_file

    table = predict_file(run, data, out, method, in_memory)
    counts: dict[str, Any] = {str(k): int(v) for k, v in table["label"].value_counts().items()}
    text = f"{out}: {len(table)} cells, {', '.join(f'{v} {k}' for k, v in list(counts.items())[:5])}"
    common.answer({"out": str(out), "cells": len(table), "labels": counts}, text)
