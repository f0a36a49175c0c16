"""`qbmvae train`, `embed`, `generate`: from a file of counts to a run folder, and from a run folder to files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from experiments.cli.options import Config, Json, ModelCommand, Quiet, Set, Threads, answer
from samplers.errors import InputError

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of `qbmvae train`.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add this family's commands to `app`."""
    app.command(cls=ModelCommand)(train)
    app.command()(embed)
    app.command()(generate)


def train(
    ctx: typer.Context,
    data: Annotated[
        Path | None, typer.Argument(metavar="DATA.h5ad", help="Counts in X or a layer.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to make; new or empty.", show_default=False)] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with an unfinished run; nothing else is needed.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same model.")] = 0,
    n_top_genes: Annotated[int | None, typer.Option(help="Train on that many highly variable genes.")] = None,
    report: Annotated[bool, typer.Option(help="Write report.html.")] = True,
    threads: Threads = None,
    config: Config = None,
    overrides: Set = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a VAE with a Boltzmann prior on an .h5ad file of counts and write a run folder.

    The folder holds the resolved configuration, versions, curves, the model, the embedding keyed by obs_names, metrics
    and report.html. Every argument of the model and of its training is an option. An interrupted run goes on with
    --resume.

    Example: qbmvae train pbmc.h5ad --batch-key batch --sampler gibbs --max-epochs 100 --seed 0 --out run1
    """
    from experiments.cli.options import resolve, use_threads
    from experiments.training import resume_run, train_run

    use_threads(threads)
    progress = not quiet and not as_json
    if resume is not None:
        given = {**ctx.meta.get("options", {}), "DATA.h5ad": data, "--out": out, "--config": config, "--set": overrides}
        extra = [k for k, v in given.items() if v]
        if extra:
            raise InputError(f"--resume goes on with the run's own settings: leave out {', '.join(extra)}")
        metrics, path = resume_run(resume, progress=progress, report=report), resume
    else:
        if data is None or out is None:
            missing = "DATA.h5ad" if data is None else "--out RUN"
            raise InputError(f"{missing} is missing: qbmvae train DATA.h5ad --batch-key KEY --out RUN")
        parts = resolve(ctx, config, overrides)
        metrics = train_run(out, data, **parts, seed=seed, n_top_genes=n_top_genes, progress=progress, report=report)
        path = out
    held = metrics.get("held_out_elbo")
    bound = f", held-out ELBO {held:.1f} nats a cell" if held is not None else ""
    where = f"\nreport: {path / 'report.html'}" if report else ""
    text = f"{path}: {metrics['cells']} cells, {metrics['epochs']} epochs{bound}{where}"
    answer({"run": str(path), **metrics}, text, quiet=quiet, as_json=as_json)


def embed(
    run: Run,
    data: Annotated[Path, typer.Argument(metavar="DATA.h5ad", help="Cells to embed; genes are matched by name.")],
    out: Annotated[Path, typer.Option(help="File to write: .h5ad, .parquet or .npz.", show_default=False)],
    representation: Annotated[
        str, typer.Option(help="expression, denoised, probabilities, logits, bits or arcsine.")
    ] = "expression",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Embed the cells of a file with a trained model; every format is keyed by obs_names.

    .h5ad: X and obsm["X_qbmvae"] hold the embedding, obsm["codes"] the bits, obs is copied. .parquet: one row a cell,
    indexed by obs_names. .npz: arrays "obs_names", "X_qbmvae" and, for priors over bits, "codes".

    Example: qbmvae embed run1 other.h5ad --out emb.h5ad
    """
    from experiments.data.datasets import read_h5ad
    from experiments.run_folder import load_model
    from qbmvae.data import embedding_writer

    embedding_writer.check(out)
    adata = read_h5ad(data)
    model = load_model(run)
    shape = model.write_latent_representation(out, adata, representation)
    result = {"out": str(out), "cells": shape[0], "dimensions": shape[1]}
    answer(result, f"{out}: {shape[0]} cells", quiet=quiet, as_json=as_json)


def generate(
    run: Run,
    out: Annotated[Path, typer.Option(help="The .h5ad file to write.", show_default=False)],
    n_cells: Annotated[int, typer.Option(help="Cells to generate.", min=1)] = 1000,
    batch: Annotated[str | None, typer.Option(help="Batch to generate; in the data's shares by default.")] = None,
    clamp: Annotated[
        list[str] | None, typer.Option(help="Hold a bit: BIT=0 or BIT=1. May be repeated.", metavar="BIT=VALUE")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="Sampler of the prior's bits.")] = None,
    library_size: Annotated[float | None, typer.Option(help="Total counts a cell; as in the data by default.")] = None,
    seed: Annotated[int, typer.Option(help="Seed; the same seed gives the same cells.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Generate synthetic cells: bits of the prior, decoded into counts.

    Example: qbmvae generate run1 --n-cells 1000 --out synthetic.h5ad
    """
    from experiments.run_folder import load_model, write_atomically

    if out.suffix != ".h5ad":
        raise InputError(f"--out {out}: generated cells are written as .h5ad")
    clamped = dict(_bit(word) for word in clamp or []) or None
    model = load_model(run)
    cells = model.generate(
        n_cells=n_cells, batch=batch, seed=seed, clamp=clamped, sampler=sampler, library_size=library_size
    )
    write_atomically(out, cells.write_h5ad)
    result = {"out": str(out), "cells": cells.n_obs, "genes": cells.n_vars}
    answer(result, f"{out}: {cells.n_obs} cells", quiet=quiet, as_json=as_json)


def _bit(word: str) -> tuple[int, int]:
    bit, _, value = word.partition("=")
    if not bit.isdigit() or value not in ("0", "1"):
        raise InputError(f"--clamp takes BIT=0 or BIT=1, not {word!r}")
    return int(bit), int(value)
