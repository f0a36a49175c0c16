"""Training cells per second of whole `train` calls against scVI, and the negative phase's share of a step.

Equal widths, likelihood, batch size, cells, epochs and one thread; CPU time, so that a busy machine disturbs less; each
pair in turn, the median ratio is what counts. Run with `python -m experiments.benchmarks.training_speed`.

Parameters
----------
n_cells, n_genes, density, seed
    Size of a data set, share of its counts that are not zero, its seed.
adata, batch_size, epochs
    Cells to train on, and the budget.
bits, sweeps, n_latent
    Bits of our code and sweeps of a step's sampling; dimensions of scVI's code.
precision, fused
    As in `QBMVAE.train`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from experiments.benchmarks.report import arguments, finish, in_turn, one_quiet_thread, ratios


def synthetic(n_cells: int, n_genes: int, density: float, seed: int):
    """Return counts with about the given share of non-zero values, in two batches."""
    import anndata as ad
    import numpy as np
    import scipy.sparse as sp

    rng = np.random.default_rng(seed)
    x = sp.random(n_cells, n_genes, density, format="csr", random_state=rng, dtype=np.float32)
    x.data = (1 + rng.poisson(rng.gamma(0.5, 2.0, size=x.nnz))).astype(np.float32)
    x = (x + sp.csr_matrix((np.ones(n_cells), (np.arange(n_cells), np.arange(n_cells) % n_genes)), x.shape)).tocsr()
    adata = ad.AnnData(x.astype(np.float32))
    adata.obs["batch"] = rng.integers(2, size=n_cells).astype(str)
    return adata


def train_ours(
    adata,
    batch_size: int,
    epochs: int,
    bits: int,
    sweeps: int,
    precision: Literal["32", "bf16"] = "32",
    fused: Literal["auto", "off"] = "auto",
) -> tuple[float, float]:
    """Return CPU seconds of `train`, and the negative phase's share of its wall time."""
    from qbmvae import QBMVAE

    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(adata, n_latent=bits, sampler=f"persistent?num_sweeps={sweeps}")
    cpu, wall = time.process_time(), time.perf_counter()
    # no second pass for cycle consistency: scVI has no such term
    model.train(
        max_epochs=epochs, batch_size=batch_size, train_size=1.0, progress_bar=False, accelerator="cpu",
        cycle_consistency=0.0, precision=precision, fused=fused, refine_prior=False,
    )  # fmt: skip
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return cpu, model.trainer.negative_phase.seconds / wall


def train_scvi(adata, batch_size: int, epochs: int, n_latent: int) -> float:
    """Return CPU seconds of scVI's `train`."""
    import scvi

    scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
    model = scvi.model.SCVI(adata, n_layers=2, n_hidden=128, n_latent=n_latent, gene_likelihood="nb")
    cpu = time.process_time()
    model.train(max_epochs=epochs, batch_size=batch_size, train_size=1.0, accelerator="cpu", enable_progress_bar=False)
    return time.process_time() - cpu


def _fastest(calls: Sequence[Callable[[], float]]) -> float:
    return min(call() for call in calls)


def main() -> None:
    """Run the benchmark and print a table."""
    options = arguments(
        __doc__, cells=4096, genes=2000, batch_sizes=[128, 512, 1024], bits=128, sweeps=2, epochs=25, repeats=3,
        scvi_latent=[10, 64], precisions=(["32", "bf16"], "of our products"),
    )  # fmt: skip
    one_quiet_thread()
    adata = synthetic(options.cells, options.genes, 0.1, 0)
    small = adata[:512].copy()
    train_ours(small, 128, 1, options.bits, options.sweeps)
    train_scvi(small, 128, 1, 10)
    rows, seen = [], options.cells * options.epochs
    for batch_size in options.batch_sizes:
        calls = {
            p: partial(train_ours, adata, batch_size, options.epochs, options.bits, options.sweeps, p)
            for p in options.precisions
        }
        theirs = [partial(train_scvi, adata, batch_size, options.epochs, n) for n in options.scvi_latent]
        found = in_turn({**calls, "scVI": partial(_fastest, theirs)}, options.repeats)
        for precision in options.precisions:
            seconds, shares = zip(*found[precision], strict=True)
            rows.append(
                {
                    "batch size": batch_size,
                    "products": precision,
                    "ours cells/s": seen / statistics.median(seconds),
                    "scVI cells/s": seen / statistics.median(found["scVI"]),
                    **ratios(seconds, found["scVI"]),
                    "negative phase": statistics.median(shares),
                }
            )
    title = f"{options.cells} cells x {options.genes} genes, {options.epochs} epochs, {options.bits} bits, 1 thread"
    finish(title, rows, options.out)


if __name__ == "__main__":
    main()
