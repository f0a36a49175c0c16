"""Cells per CPU second of `get_latent_representation`, ours in several representations against scVI's.

10,000 cells x 2,000 genes, 10 % of the counts not zero, one thread; the models are called in turn, and the median ratio is
what counts. Run with `python -m experiments.benchmarks.embedding_speed`.
"""

from __future__ import annotations

import statistics
import time
import warnings

from experiments.benchmarks.report import arguments, finish
from experiments.benchmarks.training_speed import synthetic

CELLS, GENES, DENSITY, REPEATS = 10_000, 2000, 0.1, 5
REPRESENTATIONS = (None, "denoised", "expression", "probabilities")


def main() -> None:
    """Run the benchmark and print a table."""
    import logging

    import scvi
    import torch

    from qbmvae import QBMVAE

    options = arguments(__doc__)
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    adata = synthetic(CELLS, GENES, DENSITY, 0)
    QBMVAE.setup_anndata(adata, batch_key="batch")
    ours = QBMVAE(adata)
    ours.train(max_epochs=2, progress_bar=False, accelerator="cpu", refine_prior=False)
    scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
    theirs = scvi.model.SCVI(adata, n_layers=2, n_hidden=128)
    theirs.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    calls = {
        name or "default": lambda name=name: ours.get_latent_representation(representation=name)
        for name in REPRESENTATIONS
    }
    calls["scVI"] = theirs.get_latent_representation
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(REPEATS + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            # the first round compiles
            if repeat:
                seconds[name].append(time.process_time() - start)
    rows = []
    for name, found in seconds.items():
        ratios = [b / a for a, b in zip(found, seconds["scVI"], strict=True)]
        rows.append(
            {
                "embedding": name,
                "cells/s": CELLS / statistics.median(found),
                "of scVI's (median)": statistics.median(ratios),
                "least": min(ratios),
                "largest": max(ratios),
            }
        )
    finish(f"embedding {CELLS} cells x {GENES} genes, {DENSITY:.0%} not zero, 1 thread, CPU time", rows, options.out)


if __name__ == "__main__":
    main()
