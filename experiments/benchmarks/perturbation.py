"""Time and memory of each stage at the challenge's size, and the rank test next to cell-eval's own (pdex).

python -m experiments.benchmarks.perturbation [--genes 18080 --perturbations 300] [--out FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from samplers.files import write_json


def screen(n_genes: int, n_perts: int, n_cells: int, n_control: int, seed: int = 0) -> tuple[Any, Any]:
    """Sparse log1p values with a tenth of the genes expressed in a cell, a low-rank effect, and features that tell it."""
    import anndata as ad

    from qbmvae.perturbation import Features

    rng = np.random.default_rng(seed)
    u = rng.normal(size=(n_perts, 8))
    effects = 0.3 * u @ rng.normal(size=(8, n_genes)) * (rng.random(n_genes) < 0.1)
    popularity = rng.gamma(0.5, 1, n_genes) + 0.01
    cumulative = np.cumsum(popularity) / popularity.sum()
    blocks, names = [], []
    for p in range(-1, n_perts):
        m = n_control if p < 0 else n_cells
        per_cell = n_genes // 10
        columns = np.searchsorted(cumulative, rng.random(m * per_cell)).astype(np.int32)
        values = (rng.gamma(4, 0.2, m * per_cell) * np.exp(0 if p < 0 else effects[p][columns])).astype(np.float32)
        block = sp.csr_matrix((values, columns, np.arange(m + 1) * per_cell), shape=(m, n_genes))
        block.sum_duplicates()
        np.minimum(block.data, 10, out=block.data)
        blocks.append(block)
        names += ["non-targeting" if p < 0 else f"P{p}"] * m
    features = u @ rng.normal(size=(8, 5120)) + 0.1 * rng.normal(size=(n_perts, 5120))
    adata = ad.AnnData(
        sp.vstack(blocks, format="csr"),
        obs=pd.DataFrame({"target_gene": names}, index=[str(i) for i in range(len(names))]),
        var=pd.DataFrame(index=[f"G{j}" for j in range(n_genes)]),
    )
    return adata, Features(tuple(f"P{p}" for p in range(n_perts)), features.astype(np.float32), "file")


def rank_test_ratio(adata: Any, n_perts: int) -> dict[str, float]:
    """Time the differential expression of some perturbations by ours and by pdex, one thread each, compiled before."""
    from qbmvae.perturbation.differential import fold_change_and_fdr, prepare_controls

    names = adata.obs["target_gene"].to_numpy()
    keep = np.isin(names, ["non-targeting", *(f"P{p}" for p in range(n_perts))])
    part = adata[keep].copy()
    labels = part.obs["target_gene"].to_numpy()

    def ours() -> None:
        controls = prepare_controls(part.X[labels == "non-targeting"])
        for p in range(n_perts):
            fold_change_and_fdr(part.X[labels == f"P{p}"], controls)

    found = {"ours_s": _best(ours)}
    try:
        from pdex import pdex
    except ImportError:
        return found

    def theirs() -> None:
        with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
            pdex(
                part,
                groupby="target_gene",
                mode="ref",
                threads=1,
                is_log1p=True,
                reference="non-targeting",
                epsilon=0.0,
            )

    found["pdex_s"] = _best(theirs)
    return found | {"ratio": found["pdex_s"] / found["ours_s"]}


def _best(action: Any) -> float:
    times = []
    for _ in range(2):  # the first call compiles
        start = time.process_time()
        action()
        times.append(time.process_time() - start)
    return min(times)


def stages(args: argparse.Namespace) -> dict[str, Any]:
    """Train, predict and score one screen; CPU seconds of each stage and the peak of resident memory."""
    from qbmvae.perturbation import fit, preset, scores
    from qbmvae.perturbation.options import Options

    rows: dict[str, float] = {}

    def clock(name: str, action: Any) -> Any:
        start = time.process_time()
        result = action()
        rows[name] = time.process_time() - start
        print(f"{name:>28s} {rows[name]:8.1f} s", flush=True)
        return result

    adata, features = clock("make the data", lambda: screen(args.genes, args.perturbations, args.cells, args.controls))
    options = Options.from_dict(preset("default").to_dict() | {"epochs": args.epochs, "patience": 0})
    model = clock(f"train, {args.epochs} epochs", lambda: fit(adata, features=features, options=options))
    controls = adata[(adata.obs["target_gene"] == "non-targeting").to_numpy()]
    sizes = {f"P{p}": args.cells for p in range(args.perturbations)}
    predicted = clock("predict cells", lambda: model.predict(sizes, controls))
    result = clock("score (DES, PDS, MAE)", lambda: scores(predicted, adata))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{'peak resident memory':>28s} {peak:8.2f} GB")
    table = {k: result[k] for k in ("des", "pds", "mae")}
    return {
        "cpu_seconds": rows,
        "peak_gb": peak,
        "scores_on_training_data": table,
        "rank_test": rank_test_ratio(adata, 10),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("genes", 18080), ("perturbations", 300), ("cells", 30), ("controls", 1000), ("epochs", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, one thread, Python {platform.python_version()}, torch {torch.__version__}"
    print(machine)
    result = {"machine": machine, "sizes": {k: v for k, v in vars(args).items() if k != "out"}, **stages(args)}
    test = result["rank_test"]
    print(
        f"rank test of 10 perturbations: ours {test['ours_s']:.2f} s"
        + (f", pdex {test['pdex_s']:.2f} s, ratio {test['ratio']:.1f}" if "ratio" in test else "")
    )
    if args.out:
        write_json(args.out, result)


if __name__ == "__main__":
    main()
