"""A file that does not fit the memory given to it: throughput against memory, peak RSS, cost per cell by size.

`python -m experiments.benchmarks.atlas --cells 1000000 --folder /tmp/atlas` writes synthetic cells in blocks, streams one
epoch (several of a small file) and embeds every cell, each in a process of its own so that its peak RSS is its own. CPU
time for training, in the loop alone and with what a `train` call does around it; wall time for embedding.
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


def write(path: Path, n_cells: int, n_genes: int, density: float = 0.1, block: int = 20_000) -> None:
    """Write synthetic counts in blocks, CSR in an .h5ad, within the memory of one block."""
    import anndata as ad
    import h5py
    import numpy as np
    import pandas as pd
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    obs = pd.DataFrame(
        {"batch": pd.Categorical(np.array(["a", "b"])[rng.integers(2, size=n_cells)])},
        index=[f"cell{i}" for i in range(n_cells)],
    )
    empty = sp.csr_matrix((n_cells, n_genes), dtype=np.float32)
    ad.AnnData(empty, obs=obs, var=pd.DataFrame(index=[f"gene{j}" for j in range(n_genes)])).write_h5ad(path)
    with h5py.File(path, "r+") as file:
        group = file["X"]
        for name, kind in (("data", np.float32), ("indices", np.int32)):
            del group[name]
            group.create_dataset(name, (0,), maxshape=(None,), chunks=(1 << 18,), dtype=kind)
        indptr, stored = np.zeros(n_cells + 1, dtype=np.int64), 0
        for start in range(0, n_cells, block):
            n = min(block, n_cells - start)
            x = sp.random(n, n_genes, density, format="csr", random_state=rng, dtype=np.float32)
            x.data = (1 + rng.poisson(0.8, size=x.nnz)).astype(np.float32)
            x.sort_indices()
            for name, values in (("data", x.data), ("indices", x.indices)):
                group[name].resize(stored + x.nnz, axis=0)
                group[name][stored:] = values
            indptr[start + 1 : start + n + 1] = stored + x.indptr[1:]
            stored += x.nnz
        del group["indptr"]
        group.create_dataset("indptr", data=indptr)


def run(path: Path, how: str, batch_size: int, embed: bool) -> None:
    """Train, and embed, from disk or from memory; print one JSON line."""
    import warnings

    import anndata as ad
    import torch

    from qbmvae import QBMVAE
    from qbmvae.core.training.trainer import Trainer
    from qbmvae.data import open_atlas

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    data = open_atlas(path) if how == "disk" else ad.read_h5ad(path)
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
    wall, cpu = time.perf_counter(), time.process_time()
    model.train(
        max_epochs=epochs, batch_size=batch_size, train_size=1.0, progress_bar=False, accelerator="cpu",
        cycle_consistency=0.0,
    )  # fmt: skip
    result = {
        "how": how,
        "cells": data.n_obs,
        "epochs": epochs,
        "loop_s": loop[0],
        "train_s": time.perf_counter() - wall,
        "cpu_s": time.process_time() - cpu,
    }
    if embed:
        wall = time.perf_counter()
        model.write_latent_representation(path.with_suffix(".codes.h5ad"), data)
        result["embed_s"] = time.perf_counter() - wall
        names = ad.read_h5ad(path.with_suffix(".codes.h5ad"), backed="r").obs_names
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
        path = args.folder / f"{n}.h5ad"
        if not path.exists():
            write_atomically(path, functools.partial(write, n_cells=n, n_genes=args.genes))
        for how in ("disk", "memory") if n <= args.memory_up_to else ("disk",):
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
