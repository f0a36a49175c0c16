"""Time and memory of each stage at the challenge's size, and the rank test next to cell-eval's own (pdex).

python -m experiments.benchmarks.perturbation [--genes 18080 --perturbations 300] [--out FILE]
"""

from __future__ import annotations

import contextlib
import os
from argparse import Namespace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from experiments.benchmarks.report import arguments, best_of, cpu_seconds, finish, one_quiet_thread, peak_gb


def screen(n_genes: int, n_perts: int, n_cells: int, n_control: int, seed: int = 0) -> tuple[Any, Any]:
    """Sparse log1p values with a tenth of the genes expressed in a cell, a low-rank effect, and features that tell it.

    Parameters
    ----------
    n_genes, n_perts
        Genes and perturbations.
    n_cells, n_control
        Cells of each perturbation, and control cells.
    seed
        Of everything.
    """
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

    found = {"CPU s": best_of(ours, 1)}
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

    seconds = best_of(theirs, 1)
    return found | {"CPU s of pdex": seconds, "ratio": seconds / found["CPU s"]}


def stages(sizes: Namespace) -> list[dict[str, Any]]:
    """Train, predict and score one screen; return CPU seconds of each stage and the peak of resident memory after it."""
    from qbmvae.perturbation import fit, preset, scores
    from qbmvae.perturbation.options import Options

    rows: list[dict[str, Any]] = []

    def clock(name: str, action: Any) -> Any:
        kept: list[Any] = []
        seconds = cpu_seconds(lambda: kept.append(action()))
        rows.append({"stage": name, "CPU s": seconds, "peak GB": peak_gb()})
        return kept[0]

    made = (sizes.genes, sizes.perturbations, sizes.cells, sizes.controls)
    adata, features = clock("make the data", lambda: screen(*made))
    options = Options.from_dict(preset("default").to_dict() | {"epochs": sizes.epochs, "patience": 0})
    model = clock(f"train, {sizes.epochs} epochs", lambda: fit(adata, features=features, options=options))
    controls = adata[(adata.obs["target_gene"] == "non-targeting").to_numpy()]
    wanted = {f"P{p}": sizes.cells for p in range(sizes.perturbations)}
    predicted = clock("predict cells", lambda: model.predict(wanted, controls))
    clock("score (DES, PDS, MAE)", lambda: scores(predicted, adata))
    return [*rows, {"stage": "rank test of 10 perturbations", **rank_test_ratio(adata, min(10, sizes.perturbations))}]


def main() -> None:
    """Run the benchmark and print a table."""
    options = arguments(__doc__, genes=18080, perturbations=300, cells=30, controls=1000, epochs=3)
    one_quiet_thread()
    title = f"{options.genes} genes, {options.perturbations} perturbations of {options.cells} cells, one thread"
    finish(title, stages(options), options.out)


if __name__ == "__main__":
    main()
