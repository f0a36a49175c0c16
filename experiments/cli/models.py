"""`qbmvae train`, `embed`, `generate`: from a file of counts to a run folder, and from a run folder to files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from experiments.cli import checks
from experiments.cli.common import DEFAULTS, Common, Positive, Words, use_threads
from experiments.cli.model_options import divide, model_options
from samplers.errors import InputError

Representation = Literal["aligned", "expression", "denoised", "probabilities", "logits", "bits", "arcsine"]
InMemory = Literal["auto", "yes", "no"]


def register(app: App) -> None:
    """Add this family's commands to `app`."""
    # the arguments of the model are options: the class that holds them is made when the program starts
    kind = model_options()
    train.__annotations__["options"], train.__kwdefaults__ = kind, {**(train.__kwdefaults__ or {}), "options": kind()}
    app.command(train)
    app.command(embed)
    app.command(generate)


def train(
    *data: str,
    out: Path | None = None,
    resume: Path | None = None,
    seed: int = 0,
    n_top_genes: Positive | None = None,
    in_memory: InMemory = "auto",
    report: bool = True,
    threads: Positive | None = None,
    options: Any = None,
    common: Common = DEFAULTS,
) -> None:
    """Train a VAE with a Boltzmann prior on counts of cells and write a run folder.

    The folder holds the resolved configuration, versions, curves, the model, the embedding keyed by obs_names, metrics
    and report.html. Every argument of the model and of its training is an option. An interrupted run goes on with
    --resume.

    Example: qbmvae train pbmc.h5ad --batch-key batch --sampler gibbs --max-epochs 100 --seed 0 --out run1

    Parameters
    ----------
    data
        Cells with counts in X or in a layer: an .h5ad file, a .zarr store, several of them, a pattern ("shards/*.h5ad"), a
        folder of shards, a text file (.txt) of paths, or a URL (s3://...).
    out
        Run folder to make; new or empty.
    resume
        Go on with this unfinished run; no other option is needed.
    seed
        The same seed gives the same model.
    n_top_genes
        Train on this many highly variable genes; on all by default.
    in_memory
        Whether to read all counts into memory, or in blocks as they are needed; auto reads them where they take less than
        half of the free memory.
    report
        Write report.html.
    threads
        Threads of torch; OMP_NUM_THREADS, or else 1, by default.

    Raises
    ------
    InputError
        Where options are missing, or given although a run goes on.
    """
    parts = divide(options)
    if resume is not None:
        given = [f"--{name.replace('_', '-')}" for part in parts.values() for name in part]
        given += [name for name, value in {"DATA": data, "--out": out, "--config": common.config}.items() if value]
        if given or common.overrides:
            extra = ", ".join([*given, *(["--set"] if common.overrides else [])])
            raise InputError(f"--resume goes on with the run's own settings: leave out {extra}")
        checks.resumable(resume)
    else:
        if not data or out is None:
            missing = "--out RUN" if data else "DATA.h5ad"
            raise InputError(f"{missing} is missing: qbmvae train DATA.h5ad --batch-key KEY --out RUN")
        checks.new_folder(out)
        checks.sampler(parts)
        checks.model(parts["model"])
        checks.training(parts["train"])
        checks.cells(data, **parts["setup"])
    use_threads(threads)
    from experiments.training import resume_run, train_run

    path = resume or out
    assert path is not None
    with checks.resumes(f"qbmvae train --resume {path}", path):
        if resume is not None:
            metrics = resume_run(path, progress=common.shows_progress, report=report)
        else:
            metrics = train_run(
                path, data, parts["setup"], parts["model"], parts["train"], seed=seed, n_top_genes=n_top_genes,
                in_memory=in_memory, progress=common.shows_progress, report=report,
            )  # fmt: skip
    common.answer({"run": str(path), **metrics}, trained_text(path, metrics, report))


def trained_text(path: Path, metrics: dict[str, Any], report: bool) -> str:
    """Return what a training says when it is done.

    Parameters
    ----------
    path
        The run folder.
    metrics
        What metrics.json holds.
    report
        Whether there is a report.
    """
    held = metrics.get("held_out_elbo")
    bound = f", held-out ELBO {held:.1f} nats a cell" if held is not None else ""
    verdict = f"\n{metrics['verdict']}" if metrics.get("verdict") else ""
    where = f"\nreport: {path / 'report.html'}" if report else ""
    return f"{path}: {metrics['cells']} cells, {metrics['epochs']} epochs{bound}{verdict}{where}"


def embed(
    run: Path,
    /,
    *data: Annotated[str, Parameter(required=True)],
    out: Path,
    representation: Representation | None = None,
    in_memory: InMemory = "auto",
    threads: Positive | None = None,
    common: Common = DEFAULTS,
) -> None:
    """Embed cells with a trained model; every format is keyed by obs_names.

    .h5ad: X and obsm["X_qbmvae"] hold the embedding, obsm["codes"] the bits, obs is copied. .parquet: one row a cell,
    indexed by obs_names. .npz: arrays "obs_names", "X_qbmvae" and, for priors over bits, "codes".

    Example: qbmvae embed run1 other.h5ad --out emb.h5ad

    Parameters
    ----------
    run
        A run folder of `qbmvae train`.
    data
        Cells to embed, named as for `train`; genes are matched by name.
    out
        File to write: .h5ad, .parquet or .npz.
    representation
        What to write of each cell; by default the run's own default: aligned, for runs of this version.
    in_memory
        Whether to read all counts into memory, as for `train`.
    threads
        Threads of torch; OMP_NUM_THREADS, or else 1, by default.
    """
    checks.suffix(out, (".h5ad", ".parquet", ".npz"))
    setup = checks.trained(run)["setup"]
    checks.cells(data, **checks.needed(setup))
    use_threads(threads)
    from experiments.training import embed_file

    shape = embed_file(run, data, out, representation, in_memory)
    result = {"out": str(out), "cells": shape[0], "dimensions": shape[1]}
    common.answer(result, f"{out}: {shape[0]} cells")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class What:
    """Which cells to generate.

    Parameters
    ----------
    n_cells
        Cells to generate.
    batch
        Batch to generate; in the data's shares by default.
    clamp
        Hold bits, as in 3=1,7=0: the number of a bit and its value.
    sampler
        Sampler of the prior's bits; the run's by default.
    library_size
        Total counts of each cell; as in the data by default.
    seed
        The same seed gives the same cells.
    """

    n_cells: Positive = 1000
    batch: str | None = None
    clamp: Annotated[Words, Parameter(name="--clamp")] = ()
    sampler: str | None = None
    library_size: float | None = None
    seed: int = 0


def generate(
    run: Path, /, *, out: Path, what: What = What(), threads: Positive | None = None, common: Common = DEFAULTS
) -> None:
    """Generate synthetic cells: bits of the prior, decoded into counts.

    Example: qbmvae generate run1 --n-cells 1000 --out synthetic.h5ad

    Parameters
    ----------
    run
        A run folder of `qbmvae train`.
    out
        The .h5ad file to write.
    threads
        Threads of torch; OMP_NUM_THREADS, or else 1, by default.
    """
    checks.suffix(out, (".h5ad",))
    clamped = dict(_bit(word) for word in what.clamp) or None
    checks.trained(run)
    checks.sampler({"model": {"sampler": what.sampler}})
    use_threads(threads)
    from experiments.run_folder import load_model, write_atomically

    model = load_model(run)
    cells = model.generate(
        n_cells=what.n_cells, batch=what.batch, seed=what.seed, clamp=clamped, sampler=what.sampler,
        library_size=what.library_size,
    )  # fmt: skip
    write_atomically(out, cells.write_h5ad)
    result = {"out": str(out), "cells": cells.n_obs, "genes": cells.n_vars}
    common.answer(result, f"{out}: {cells.n_obs} cells")


def _bit(word: str) -> tuple[int, int]:
    bit, _, value = word.partition("=")
    if not bit.isdigit() or value not in ("0", "1"):
        raise InputError(f"--clamp takes BIT=0 or BIT=1, not {word!r}")
    return int(bit), int(value)
