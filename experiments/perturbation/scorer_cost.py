"""Time and memory of cell-eval2 (`vcc2026`) on cells as many and as wide as the challenge's, a tenth of the counts not zero.

    python -m experiments.perturbation.scorer_cost --perturbations 300 --cells 400 --genes 18080 --out cost.json

Prediction and observation are drawn alike, each perturbation with effects on a fiftieth of the genes, block by block into CSR.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from experiments.perturbation.scorer2 import scores_2026
from experiments.run_folder import write_json

if TYPE_CHECKING:
    from anndata import AnnData

#: Share of counts that are not zero, share of the genes that a perturbation changes, and its log fold change.
DENSITY, AFFECTED, FOLD = 0.1, 0.02, 0.7


def cells(n_perturbations: int, n_cells: int, n_control: int, n_genes: int, seed: int) -> AnnData:
    """Return counts of control and perturbed cells; equal effects for every seed.

    Parameters
    ----------
    n_perturbations, n_cells, n_control, n_genes
        Sizes; cells of each perturbation.
    seed
        Of the counts.
    """
    import anndata as ad

    fixed = np.random.default_rng(0)
    level = fixed.gamma(0.5, 1.0, n_genes).astype(np.float32)
    level *= -np.log1p(-DENSITY) / level.mean()
    rng, blocks, labels = np.random.default_rng([seed, 1]), [], []
    for k in range(-1, n_perturbations):
        rate = level.copy()
        if k >= 0:
            rate[fixed.choice(n_genes, max(1, int(AFFECTED * n_genes)), replace=False)] *= np.exp(
                fixed.choice([-FOLD, FOLD])
            )
        n = n_control if k < 0 else n_cells
        # a Poisson count is above zero with 1 - exp(-rate); the few that are hold one count or more
        on = rng.random((n, n_genes), np.float32) < -np.expm1(-rate)
        x = sp.csr_matrix(on, dtype=np.float32)
        x.data += rng.poisson(0.5 * rate[x.indices]).astype(np.float32)
        blocks.append(x)
        labels += ["non-targeting" if k < 0 else f"P{k}"] * n
    obs = pd.DataFrame({"target_gene": pd.Categorical(labels)}, index=[f"cell{i}" for i in range(len(labels))])
    return ad.AnnData(
        sp.vstack(blocks, format="csr"), obs=obs, var=pd.DataFrame(index=[f"G{j}" for j in range(n_genes)])
    )


def measure(n_perturbations: int, n_cells: int, n_control: int, n_genes: int) -> dict[str, Any]:
    """Return sizes, time and memory of making the cells and of scoring them.

    Parameters
    ----------
    n_perturbations, n_cells, n_control, n_genes
        As in `cells`.
    """
    start = time.process_time()
    sides = [cells(n_perturbations, n_cells, n_control, n_genes, seed) for seed in (0, 1)]
    made = time.process_time() - start
    found = scores_2026(sides[0], sides[1], "target_gene", "non-targeting")
    stored = sum(s.X.data.nbytes + s.X.indices.nbytes + s.X.indptr.nbytes for s in sides) / 2**30
    return {
        "perturbations": n_perturbations, "cells": sides[1].n_obs, "genes": n_genes,
        "density": sides[1].X.nnz / np.prod(sides[1].shape), "stored_gib": stored, "making_cpu_seconds": made, **found,
    }  # fmt: skip


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("perturbations", 300), ("cells", 400), ("controls", 2000), ("genes", 18080)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found = measure(given.perturbations, given.cells, given.controls, given.genes)
    for name, value in found.items():
        print(f"{name:<44}{value:.4g}" if isinstance(value, float) else f"{name:<44}{value:,}")
    if given.out is not None:
        write_json(given.out, found)


if __name__ == "__main__":
    main()
