"""`qbmvae evaluate`, `compare`, `report`: judge a run, run a comparison, show either again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.options import Json, Quiet, answer, progress_lines
from samplers.errors import InputError


def register(app: typer.Typer) -> None:
    """Add this family's commands to `app`."""
    app.command()(evaluate)
    app.command()(compare)
    app.command()(report)


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of `qbmvae train`.", show_default=False)],
    data: Annotated[Path, typer.Argument(metavar="DATA.h5ad", help="Cells with types; genes are matched by name.")],
    label_key: Annotated[str, typer.Option(help="obs column of cell types.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to make; new or empty.", show_default=False)],
    batch_key: Annotated[str | None, typer.Option(help="obs column of batches; as in training by default.")] = None,
    time_key: Annotated[
        list[str] | None,
        typer.Option(help="obs column of real time, or of a mixture's shares. May be repeated.", show_default=False),
    ] = None,
    root: Annotated[
        str | None, typer.Option(help='Root cell for pseudotime, name or row; uns["iroot"] by default.')
    ] = None,
    branch_key: Annotated[str | None, typer.Option(help="obs column of lineages.")] = None,
    tasks: Annotated[
        str, typer.Option(help="Which scores, by commas.")
    ] = "integration,scgraph,clustering,classification,trajectory",
    pair: Annotated[
        list[str] | None, typer.Option(help='Two types that are hard to tell apart: "A,B". May be repeated.')
    ] = None,
    against: Annotated[
        str, typer.Option(help="Models fitted on the same cells to stand beside, by commas: pca, harmony, scvi, ...")
    ] = "pca",
    representation: Annotated[
        str | None,
        typer.Option(help="expression, denoised, probabilities, logits, bits or arcsine; the model's default."),
    ] = None,
    max_cells: Annotated[int, typer.Option(help="Score a stratified subsample above this size.", min=20)] = 10_000,
    seed: Annotated[int, typer.Option(help="Seed of folds, classifiers and baselines.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Score a run's embedding: integration, scGraph, clustering, classification, trajectory; PCA always beside.

    Writes metrics.json, one table a task, and report.html. Baselines are fitted on the same cells for the same epochs
    and depth as the run.

    Example: qbmvae evaluate run1 pbmc.h5ad --label-key cell_type --against pca,scvi --out eval1
    """
    from experiments.evaluation.run import evaluate_run

    metrics = evaluate_run(
        run, data, out, label_key, batch_key=batch_key, time_keys=tuple(time_key or ()), root=root,
        branch_key=branch_key, tasks=_words(tasks), pairs=[_words(p) for p in pair or []], against=_words(against),
        representation=representation, max_cells=max_cells, seed=seed,
        say=progress_lines(quiet or as_json),
    )  # fmt: skip
    answer(metrics, f"metrics: {out / 'metrics.json'}\nreport: {out / 'report.html'}", quiet=quiet, as_json=as_json)


def compare(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="Data sets, models, seeds, tasks.")],
    out: Annotated[Path, typer.Option(help="Folder of the comparison; an unfinished one goes on.", show_default=False)],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Override a setting: seeds=[0,1]. May be repeated.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Run this one seed: short for --set seeds=[SEED].")] = None,
    workers: Annotated[int, typer.Option(help="Processes; each takes about 2 GB.", min=1)] = 1,
    ray: Annotated[
        str | None, typer.Option(help="Address of a Ray cluster to run on (auto, ray://HOST:10001), or local.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data files; as in the configuration by default.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run a grid of data sets, models and seeds, leak-free and with equal budgets; the same command goes on later.

    Writes results.parquet (tidy: one row a score), the embeddings, and report.html with tables, paired differences
    with intervals, ranks, curves and costs.

    Example: qbmvae compare experiments/configs/paper.yaml --out cmp --set seeds=[0,1]
    """
    from experiments import config as overriding
    from experiments.comparison.config import load_config
    from experiments.comparison.integration import run_comparison

    settings = overriding.parse(overrides)
    if seed is not None:
        settings["seeds"] = [seed]
    if data_root is not None:
        settings["data_root"] = str(data_root)
    loaded = load_config(config, settings)
    summary = run_comparison(loaded, out, workers=workers, say=progress_lines(quiet or as_json), ray=ray)
    text = f"{summary['fits']} fits, {summary['failed']} failed\nreport: {out / 'report.html'}"
    answer(summary, text, quiet=quiet, as_json=as_json)


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A run, or a comparison, also an unfinished one.")],
    out: Annotated[Path | None, typer.Option(help="HTML file to write; FOLDER/report.html by default.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the HTML report of a run or a comparison from what its folder holds.

    Example: qbmvae report cmp
    """
    from experiments.comparison.report import is_comparison, write_report
    from experiments.training import report_again

    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    target = out or folder / "report.html"
    if is_comparison(folder):
        write_report(folder, target)
    else:
        report_again(folder, target)
    answer({"report": str(target)}, f"report: {target}", quiet=quiet, as_json=as_json)


def _words(text: str) -> list[str]:
    return [w.strip() for w in text.split(",") if w.strip()]
