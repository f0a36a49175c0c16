"""A file that does not fit the memory given to it: throughput against memory, peak RSS, cost per cell by size.

`python -m experiments.benchmarks.atlas --cells 1000000 --folder /tmp/atlas` writes synthetic cells in blocks (.h5ad, .zarr,
ten shards), streams one epoch (several of a small file) and embeds every cell, each in a process of its own so that its
peak RSS is its own; and once more with all cells in memory, up to `--memory-up-to`. CPU time throughout: for training, in
the loop alone and with what a `train` call does around it. `--in-turn 3` gives each format's share of memory's throughput instead,
of calls that take turns in one process.
"""

from __future__ import annotations

import functools
import statistics
from pathlib import Path
from typing import Any

from experiments.benchmarks.report import (
    alone,
    arguments,
    cpu_seconds,
    finish,
    in_turn,
    one_quiet_thread,
    peak_gb,
)
from samplers.files import write_atomically

#: Cells that a training sees at least, in as many epochs as that takes.
LEAST_CELLS = 200_000
#: Where the cells come from, and how many shards there are.
FORMATS, SHARDS = ("memory", "h5ad", "zarr", "shards"), 10


def write(path: Path, n_cells: int, n_genes: int, density: float = 0.1, block: int = 20_000, first: int = 0) -> None:
    """Write synthetic counts in blocks, CSR in an .h5ad or a .zarr by its suffix, within the memory of one block.

    Parameters
    ----------
    path
        The file.
    n_cells, n_genes, density
        Its size, and the share of counts that are not zero.
    block
        Cells made at once.
    first
        Number of the first cell, in its name and as the seed.
    """
    import anndata as ad
    import h5py
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp
    import zarr
    from anndata.io import sparse_dataset, write_elem

    rng = np.random.default_rng(first)
    obs = pd.DataFrame(
        {"batch": pd.Categorical(np.array(["a", "b"])[rng.integers(2, size=n_cells)])},
        index=[f"cell{first + i}" for i in range(n_cells)],
    )
    var = pd.DataFrame(index=[f"gene{j}" for j in range(n_genes)])
    file = zarr.open_group(str(path), mode="w") if path.suffix == ".zarr" else h5py.File(path, "w")
    write_elem(file, "/", ad.AnnData(obs=obs, var=var))
    for start in range(0, n_cells, block):
        n = min(block, n_cells - start)
        x = sp.random(n, n_genes, density, format="csr", random_state=rng, dtype=np.float32)
        x.data = (1 + rng.poisson(0.8, size=x.nnz)).astype(np.float32)
        x.sort_indices()
        if start == 0:
            x.indptr = x.indptr.astype(np.int64)
            write_elem(file, "X", x, dataset_kwargs={"chunks": (1 << 18,)} if x.nnz > 1 << 18 else {})
        else:
            sparse_dataset(file["X"]).append(x)
    if isinstance(file, h5py.File):
        file.close()


def make(folder: Path, how: str, n_cells: int, n_genes: int) -> Path:
    """Return cells in one format, written where they are not there yet; memory reads the .h5ad.

    Parameters
    ----------
    folder
        Where cells are kept.
    how
        One of `FORMATS`.
    n_cells, n_genes
        Their size.
    """
    if how == "shards":
        path = folder / f"{n_cells}-shards"
        path.mkdir(exist_ok=True)
        for i in range(SHARDS):
            shard = path / f"{i}.h5ad"
            if not shard.exists():
                first, last = (n_cells * k // SHARDS for k in (i, i + 1))
                write_atomically(shard, functools.partial(write, n_cells=last - first, n_genes=n_genes, first=first))
        return path
    path = folder / f"{n_cells}{'.zarr' if how == 'zarr' else '.h5ad'}"
    if not path.exists() and how == "zarr":
        write(path, n_cells, n_genes)
    elif not path.exists():
        write_atomically(path, functools.partial(write, n_cells=n_cells, n_genes=n_genes))
    return path


def opened(path: Path, how: str) -> tuple[Any, Any]:
    """Return cells and a model of them, from disk or in memory; parameters as in `run`."""
    from qbmvae import QBMVAE
    from qbmvae.data import open_cells

    data = open_cells(path, in_memory="yes" if how == "memory" else "no")
    QBMVAE.setup_anndata(data, batch_key="batch")
    return data, QBMVAE(data, n_latent=64)


def seconds(data: Any, model: Any, epochs: int, batch_size: int, written: Path) -> dict[str, float]:
    """Return the CPU seconds of a training, of its loop alone, and of an embedding that is written to disk.

    Parameters
    ----------
    data, model
        What `opened` returned.
    epochs, batch_size
        Of the training.
    written
        Where the embedding goes.
    """
    from qbmvae.core.training.trainer import Trainer

    loop: list[float] = []
    fit = Trainer.fit

    def timed(self: Trainer, *arguments: Any) -> Any:
        history: list[Any] = []
        loop.append(cpu_seconds(lambda: history.append(fit(self, *arguments))))
        return history[0]

    Trainer.fit = timed  # type: ignore[method-assign, assignment]
    options: dict[str, Any] = {"train_size": 1.0, "progress_bar": False, "accelerator": "cpu", "cycle_consistency": 0.0}
    try:
        whole = cpu_seconds(lambda: model.train(max_epochs=epochs, batch_size=batch_size, **options))
    finally:
        Trainer.fit = fit  # type: ignore[method-assign]
    embedding = cpu_seconds(lambda: model.write_latent_representation(written, data))
    return {"loop": loop[0], "whole train": whole, "embed": embedding}


def run(path: Path, how: str, batch_size: int) -> dict[str, Any]:
    """Train, and embed, from disk or from memory, in a process of its own; return cells per second and peak memory.

    Parameters
    ----------
    path
        The cells.
    how
        One of `FORMATS`.
    batch_size
        Of the training.
    """
    import anndata as ad

    one_quiet_thread()
    data, model = opened(path, how)
    # a small file is read several times: what a training costs at its start and end must not hide what a cell costs
    epochs = max(1, LEAST_CELLS // data.n_obs)
    written = path.with_suffix(".codes.h5ad")
    found = seconds(data, model, epochs, batch_size, written)
    return {
        "cells": data.n_obs,
        "from": how,
        "loop cells/s": data.n_obs * epochs / found["loop"],
        "whole train cells/s": data.n_obs * epochs / found["whole train"],
        "embed cells/s": data.n_obs / found["embed"],
        "peak GB": peak_gb(),
        "aligned": bool((ad.read_h5ad(written, backed="r").obs_names == data.obs_names).all()),
    }


def shares(paths: dict[str, Path], batch_size: int, rounds: int) -> list[dict[str, Any]]:
    """Return each format's share of memory's throughput, the median of rounds in which all take turns, in this process.

    Parameters
    ----------
    paths
        Format to file, memory among them.
    batch_size
        Of the training.
    rounds
        How many, after one that warms up.
    """
    one_quiet_thread()
    models = {how: opened(path, how) for how, path in paths.items()}
    written = {how: path.with_suffix(".codes.h5ad") for how, path in paths.items()}
    calls = {how: functools.partial(seconds, *models[how], 2, batch_size, written[how]) for how in paths}
    found = {how: taken[1:] for how, taken in in_turn(calls, rounds + 1).items()}
    return [
        {"cells": len(models[how][0]), "from": how}
        | {
            f"{what}, share of memory's": statistics.median(
                memory[what] / own[what] for memory, own in zip(found["memory"], found[how], strict=True)
            )
            for what in found[how][0]
        }
        for how in paths
    ]


def main() -> None:
    """Run the benchmark and print a table."""
    options = arguments(
        __doc__, cells=[10_000, 100_000], genes=2000, batch_size=1024, formats=list(FORMATS), folder=Path("/tmp/qbmvae-atlas"),
        memory_up_to=(200_000, "largest size that is also held in memory"),
        in_turn=(0, "rounds in which all formats take turns in one process, for shares of memory's throughput"),
    )  # fmt: skip
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.in_turn:
        formats = dict.fromkeys(["memory", *options.formats])
        paths = [{how: make(options.folder, how, n, options.genes) for how in formats} for n in options.cells]
        rows = [row for found in paths for row in alone(shares, found, options.batch_size, options.in_turn)]
        finish(f"{options.genes} genes, batch {options.batch_size}, one thread, in turn", rows, options.out)
        return
    rows = [
        alone(run, make(options.folder, how, n, options.genes), how, options.batch_size)
        for n in options.cells
        for how in options.formats
        if how != "memory" or n <= options.memory_up_to
    ]
    finish(f"{options.genes} genes, batch {options.batch_size}, one thread, CPU time", rows, options.out)


if __name__ == "__main__":
    main()
