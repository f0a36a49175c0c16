"""Cells per CPU second of `get_latent_representation`, ours in several representations against scVI's.

10,000 cells x 2,000 genes, 10 % of the counts not zero, one thread; the models are called in turn, and the median ratio is
what counts. Run with `python -m experiments.benchmarks.embedding_speed`.
"""

from __future__ import annotations

import statistics
from functools import partial

from experiments.benchmarks.report import arguments, cpu_seconds, finish, in_turn, one_quiet_thread, ratios
from experiments.benchmarks.training_speed import synthetic

CELLS, GENES, DENSITY, REPEATS = 10_000, 2000, 0.1, 5
REPRESENTATIONS = (None, "denoised", "expression", "probabilities")


def main() -> None:
    """Run the benchmark and print a table."""
    import scvi

    from qbmvae import QBMVAE

    options = arguments(__doc__)
    one_quiet_thread()
    adata = synthetic(CELLS, GENES, DENSITY, 0)
    QBMVAE.setup_anndata(adata, batch_key="batch")
    ours = QBMVAE(adata)
    ours.train(max_epochs=2, progress_bar=False, accelerator="cpu", refine_prior=False)
    scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
    theirs = scvi.model.SCVI(adata, n_layers=2, n_hidden=128)
    theirs.train(max_epochs=1, accelerator="cpu", enable_progress_bar=False)
    calls = {
        name or "default": partial(cpu_seconds, partial(ours.get_latent_representation, representation=name))
        for name in REPRESENTATIONS
    }
    calls["scVI"] = partial(cpu_seconds, theirs.get_latent_representation)
    # the first round compiles
    seconds = {name: found[1:] for name, found in in_turn(calls, REPEATS + 1).items()}
    rows = [
        {"embedding": name, "cells/s": CELLS / statistics.median(found), **ratios(found, seconds["scVI"], "of scVI's")}
        for name, found in seconds.items()
    ]
    finish(f"embedding {CELLS} cells x {GENES} genes, {DENSITY:.0%} not zero, 1 thread, CPU time", rows, options.out)


if __name__ == "__main__":
    main()
