"""A file that does not fit the memory given to it: throughput against memory, peak RSS, cost per cell by size.

`python -m experiments.benchmarks.atlas --cells 1000000 --folder /tmp/atlas` writes synthetic cells in blocks (.h5ad, .zarr,
ten shards), streams one epoch (several of a small file) and embeds every cell, each in a process of its own so that its
peak RSS is its own; and once more with all cells in memory, up to `--memory-up-to`. CPU time throughout: for training, in
the loop alone and with what a `train` call does around it.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from samplers.files import write_atomically

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")


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
    """Return cells in one format, written where they are not there yet; memory reads the .h5ad."""
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


def run(path: Path, how: str, batch_size: int, embed: bool) -> None:
    """Train, and embed, from disk or from memory; print one JSON line."""
    import warnings

    import anndata as ad
    import torch

    from qbmvae import QBMVAE
    from qbmvae.core.training.trainer import Trainer
    from qbmvae.data import open_cells

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    data = open_cells(path, in_memory="yes" if how == "memory" else "no")
    QBMVAE.setup_anndata(data, batch_key="batch")
    model = QBMVAE(data, n_latent=64)
    # a small file is read several times: what a training costs at its start and end must not hide what a cell costs
    epochs = max(1, LEAST_CELLS // data.n_obs)
    loop: list[float] = []
    fit = Trainer.fit

    def timed(self: Trainer, *arguments: Any) -> Any:
        start = time.process_time()
        history = fit(self, *arguments)
        loop.append(time.process_time() - start)
        return history

    Trainer.fit = timed  # type: ignore[method-assign, assignment]
    cpu = time.process_time()
    model.train(
        max_epochs=epochs, batch_size=batch_size, train_size=1.0, progress_bar=False, accelerator="cpu",
        cycle_consistency=0.0,
    )  # fmt: skip
    result = {
        "how": how,
        "cells": data.n_obs,
        "epochs": epochs,
        "loop_s": loop[0],
        "cpu_s": time.process_time() - cpu,
    }
    if embed:
        cpu = time.process_time()
        written = path.with_suffix(".codes.h5ad")
        model.write_latent_representation(written, data)
        result["embed_s"] = time.process_time() - cpu
        names = ad.read_h5ad(written, backed="r").obs_names
        result["aligned"] = bool((names == data.obs_names).all())
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    result["peak_rss_gb"] = int(status) / 1e6
    print(json.dumps(result))


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--memory-up-to", type=int, default=200_000, help="largest size that is also held in memory")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--folder", type=Path, default=Path("/tmp/qbmvae-atlas"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        run(Path(args.child[0]), args.child[1], args.batch_size, embed=True)
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    print(
        f"{'cells':>9} {'from':>7} {'loop cells/s':>13} {'whole train cells/s':>20} {'embed cells/s':>14} "
        f"{'peak RSS GB':>12} aligned"
    )
    rows = []
    for n in args.cells:
        for how in args.formats:
            if how == "memory" and n > args.memory_up_to:
                continue
            path = make(args.folder, how, n, args.genes)
            command = [sys.executable, "-m", "experiments.benchmarks.atlas", "--child", str(path), how]
            command += ["--batch-size", str(args.batch_size)]
            line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]
            row = json.loads(line)
            rows.append(row)
            print(
                f"{n:>9} {how:>7} {n * row['epochs'] / row['loop_s']:>13.0f} {n * row['epochs'] / row['cpu_s']:>20.0f} "
                f"{n / row['embed_s']:>14.0f} {row['peak_rss_gb']:>12.2f} {row['aligned']}",
                flush=True,
            )
    if args.out:
        args.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
