"""One training run, from cells to a run folder, and what a run's model does with other cells.

Parameters
----------
path, run
    The run folder.
data
    The cells: whatever `qbmvae.data.open_cells` opens.
in_memory
    "auto", "yes" or "no", see `qbmvae.data.open_cells`.
report, progress
    Whether to write report.html, and to show bars on stderr.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import run_folder
from experiments.data.datasets import select_hvgs
from samplers.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from qbmvae.data.opening import InMemory
    from qbmvae.model.embedding import Representation

#: What follows the training, in order.
STAGES = ("model", "embedding", "bounds and log Z", "UMAP and report")


def train_run(
    out: str | Path,
    data: str | Path | Sequence[str | Path],
    setup: dict[str, Any],
    model: dict[str, Any],
    train: dict[str, Any],
    seed: int = 0,
    n_top_genes: int | None = None,
    in_memory: InMemory = "auto",
    progress: bool = True,
    report: bool = True,
    reference: str | Path | None = None,
) -> dict[str, Any]:
    """Train a model on cells and fill a run folder.

    Parameters
    ----------
    out
        The run folder, new or empty.
    setup, model, train
        Arguments of `QBMVAE.setup_anndata`, `QBMVAE` and `QBMVAE.train`.
    seed
        Seed of everything random.
    n_top_genes
        Train on that many highly variable genes; on all by default.
    reference
        A run whose model is extended to these cells, see `QBMVAE.load_query_data`; `setup` and `model` are its own.

    Returns
    -------
    dict
        The metrics that are also in metrics.json.
    """
    config = {
        "data": run_folder.absolute(data),
        "n_top_genes": n_top_genes,
        "in_memory": in_memory,
        "setup": setup,
        "model": model,
        "train": train,
        "seed": seed,
    }
    if reference is not None:
        its = run_folder.open_run(reference)
        config |= {"reference": str(Path(reference).resolve()), "setup": its["setup"], "model": its["model"]}
    adata = _prepared(config)
    made = _model(adata, config)
    path = run_folder.fresh_folder(out)
    with run_folder.undo_on_error(path, keep_if=lambda: _checkpointed(path)):
        run_folder.start(path, {**config, "contents": _contents(made, adata)})
        made.train(checkpoint_dir=path / "checkpoint", progress_bar=progress, **{**train, "seed": seed})
        return finish(path, made, adata, config, report, progress)


def resume_run(path: str | Path, progress: bool = True, report: bool = True) -> dict[str, Any]:
    """Go on with an unfinished run, to the bit as if it had never stopped; a finished one is left as it is.

    Raises
    ------
    InputError
        For a folder that is no run, or data that have changed.
    """
    path = Path(path)
    config = run_folder.open_run(path, complete=False)
    if config["status"]["state"] == "complete":
        run_folder.open_run(path)
        return run_folder.read_json(path / run_folder.METRICS)
    adata = _prepared(config)
    model = _model(adata, config)
    now = _contents(model, adata)
    for name, value in config.get("contents", {}).items():
        if now.get(name) != value:
            raise InputError(f"the {name} of {config['data']} have changed since {path} began: train anew")
    options: dict[str, Any] = {"checkpoint_dir": path / "checkpoint"}
    if _checkpointed(path):
        options = {"resume_from": path / "checkpoint"}
    model.train(**{**config["train"], **options, "seed": config["seed"]}, progress_bar=progress)
    return finish(path, model, adata, config, report, progress)


def _checkpointed(path: Path) -> bool:
    from qbmvae.core.training import checkpoint

    return (path / "checkpoint" / checkpoint.NAME).is_file()


def _prepared(config: dict[str, Any]) -> AnnData:
    """Return the cells of a run, with the genes that it trains on."""
    from qbmvae.data import open_atlas, open_cells
    from qbmvae.data.opening import select_genes

    layer, batch_key, n = config["setup"].get("layer"), config["setup"].get("batch_key"), config["n_top_genes"]
    adata = open_cells(config["data"], in_memory=config.get("in_memory", "auto"), layer=layer)
    if n is None:
        return adata
    if hasattr(adata, "store"):
        return select_genes(adata, n, batch_key)
    if layer == "raw" and "raw" not in adata.layers:
        # the genes of .raw are not those of the file
        return select_genes(open_atlas(config["data"], layer=layer, by_columns=True), n, batch_key).to_memory(
            layer=layer
        )
    return select_hvgs(adata, n, batch_key, layer)


def _model(adata: AnnData, config: dict[str, Any]) -> Any:
    from qbmvae import QBMVAE

    if "reference" in config:
        return QBMVAE.load_query_data(adata, Path(config["reference"]) / "model")
    QBMVAE.setup_anndata(adata, **config["setup"])
    return QBMVAE(adata, **config["model"])


def _contents(model: Any, adata: AnnData) -> dict[str, Any]:
    """Return checksums of what the run trains on, by what they are of."""
    from qbmvae.model.cells import contents

    return {"cells": run_folder.names_hash(adata.obs_names), **contents(model)}


def finish(
    path: Path, model: Any, adata: AnnData, config: dict[str, Any], report: bool, progress: bool = False
) -> dict[str, Any]:
    """Write model, curves, embedding, metrics and report of a trained model into its run folder.

    Parameters
    ----------
    model, adata, config
        The trained model, its cells, and the folder's configuration.
    """
    with run_folder.stages(STAGES if report else STAGES[:-1], progress) as stage:
        stage("model")
        model.save(path / "model", overwrite=True)
        history = run_folder.history_table(model.history)
        run_folder.write_table(path / run_folder.HISTORY, history)
        stage("embedding")
        model.write_latent_representation(path / run_folder.EMBEDDING)
        stage("bounds and log Z")
        metrics = training_metrics(model, history, adata)
        run_folder.write_json(path / run_folder.METRICS, metrics)
        if report:
            from experiments.report.training import some_cells, training_report
            from qbmvae.data.embedding_writer import read_rows

            stage("UMAP and report")
            shown = {k: v for k, v in config.items() if k != "status"}
            written = read_rows(path / run_folder.EMBEDDING, rows := some_cells(adata.n_obs))
            text = training_report(path.name, shown, metrics, history, written, adata[rows])
            run_folder.write_text(path / "report.html", text)
    run_folder.write_status(path, "complete", epochs=metrics["epochs"])
    return metrics


def training_metrics(model: Any, history: Any, adata: AnnData) -> dict[str, Any]:
    """Return the figures of a training: bounds on held-out cells, rate, active bits, sampler.

    Parameters
    ----------
    model, history, adata
        The trained model, its curves, and its cells.
    """
    held_out = np.asarray(model.validation_indices)
    metrics: dict[str, Any] = {
        "cells": adata.n_obs,
        "genes": adata.n_vars,
        "latent_dimensions": int(model.module.n_latent),
        "epochs": len(history),
        "training_cells": len(model.train_indices),
        "held_out_cells": len(held_out),
    }
    if model.verdict_ is not None:
        metrics["verdict"], metrics["best_epoch"] = model.verdict_["text"], model.verdict_.get("best_epoch")
    if len(held_out):
        metrics["held_out_elbo"] = float(model.get_elbo(indices=held_out))
        metrics["held_out_iwae"] = float(model.get_marginal_ll(indices=held_out[:500], n_mc_samples=20))
    for name in ("rate", "active_bits", "sampler_ess"):
        if name in history and history[name].notna().any():
            metrics[name] = float(history[name].dropna().iloc[-1])
    if model.module.vae.prior.discrete:
        value, error = model.get_log_partition()
        metrics["log_partition"], metrics["log_partition_error"] = value, error
    return metrics


def embed_file(
    run: str | Path,
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    representation: Representation | None = None,
    in_memory: InMemory = "auto",
) -> tuple[int, int]:
    """Write the embedding of cells by a run's model; return its shape.

    Parameters
    ----------
    out
        The file to write, in the format that its suffix names.
    representation
        As in `QBMVAE.get_latent_representation`: the model's own by default.
    """
    adata = cells_for(run, data, in_memory)
    return run_folder.load_model(run).write_latent_representation(out, adata, representation)


def predict_file(
    run: str | Path,
    data: str | Path | Sequence[str | Path],
    out: str | Path,
    method: str = "machine",
    in_memory: InMemory = "auto",
) -> pd.DataFrame:
    """Write and return the most probable label of each cell by a run's model: "label" and "probability" by obs_names.

    Of several columns of labels one table after the other, with the column's name in "labels_key".

    Parameters
    ----------
    out
        The CSV file to write.
    method
        As in `QBMVAE.predict`.
    """
    import pandas as pd

    adata = cells_for(run, data, in_memory)
    p = run_folder.load_model(run).predict(adata, soft=True, method=method)
    several = p.columns.nlevels > 1
    parts = [(key, p[key]) for key in p.columns.unique(0)] if several else [("", p)]
    tables = [pd.DataFrame({"label": own.idxmax(axis=1), "probability": own.max(axis=1)}) for _, own in parts]
    if several:
        tables = [table.assign(labels_key=key) for table, (key, _) in zip(tables, parts, strict=True)]
    table = pd.concat(tables)
    table.index.name = "obs_names"
    run_folder.write_table(out, table)
    return table


def cells_for(run: str | Path, data: str | Path | Sequence[str | Path], in_memory: InMemory = "auto") -> AnnData:
    """Return cells for the model of a run, their counts where the run's were."""
    from qbmvae.data import open_cells

    return open_cells(data, in_memory=in_memory, layer=run_folder.open_run(run)["setup"].get("layer"))


def report_again(path: str | Path, target: str | Path) -> None:
    """Write the report of a complete run anew from what its folder and its data file hold.

    Raises
    ------
    InputError
        Where the folder is damaged, or its data have changed.
    """
    import pandas as pd

    from experiments.report.training import some_cells, training_report
    from qbmvae.data import open_cells

    path, config = Path(path), run_folder.open_run(path)
    adata = open_cells(config["data"], in_memory=config.get("in_memory", "auto"), layer=config["setup"].get("layer"))
    try:
        embedding = pd.read_parquet(path / run_folder.EMBEDDING)
        history = pd.read_csv(path / run_folder.HISTORY, index_col="epoch")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())}; train again") from None
    if not embedding.index.isin(adata.obs_names).all():
        raise InputError(f"{config['data']} no longer holds the cells of {path}")
    embedding = embedding.iloc[some_cells(len(embedding))]
    shown = {k: v for k, v in config.items() if k != "status"}
    metrics = run_folder.read_json(path / run_folder.METRICS)
    run_folder.write_text(
        target, training_report(path.name, shown, metrics, history, embedding.to_numpy(), adata[embedding.index])
    )
