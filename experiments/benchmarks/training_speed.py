"""Training cells per second of whole `train` calls against scVI, and the negative phase's share of a step.

Equal widths, likelihood, batch size, cells, epochs and one thread; CPU time, so that a busy machine disturbs less; each
pair in turn, the median ratio is what counts. Run with `python -m experiments.benchmarks.training_speed`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from pathlib import Path
from typing import Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")


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


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=4096)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128, 512, 1024])
    parser.add_argument("--bits", type=int, default=128)
    parser.add_argument("--sweeps", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scvi-latent", type=int, nargs="+", default=[10, 64])
    parser.add_argument(
        "--precisions", nargs="+", choices=["32", "bf16"], default=["32", "bf16"], help="of our products"
    )
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    import logging

    import torch

    from experiments.benchmarks.report import machine

    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    adata = synthetic(args.cells, args.genes, 0.1, 0)
    small = adata[:512].copy()
    train_ours(small, 128, 1, args.bits, args.sweeps)
    train_scvi(small, 128, 1, 10)
    print(f"{machine()}, 1 thread; {args.cells} cells x {args.genes} genes, {args.epochs} epochs, {args.bits} bits")
    print(
        f"{'batch':>6} {'products':>9} {'ours cells/s':>13} {'scVI cells/s':>13} {'ratio (min med max)':>22} "
        f"{'negative phase':>15}"
    )
    rows = []
    for batch_size in args.batch_sizes:
        ours: dict[str, list[float]] = {p: [] for p in args.precisions}
        shares: dict[str, list[float]] = {p: [] for p in args.precisions}
        theirs = []
        for _ in range(args.repeats):
            for precision in args.precisions:
                seconds, share = train_ours(adata, batch_size, args.epochs, args.bits, args.sweeps, precision)
                ours[precision].append(args.cells * args.epochs / seconds)
                shares[precision].append(share)
            seconds = min(train_scvi(adata, batch_size, args.epochs, n) for n in args.scvi_latent)
            theirs.append(args.cells * args.epochs / seconds)
        for precision in args.precisions:
            ratios = [a / b for a, b in zip(ours[precision], theirs, strict=True)]
            row = {
                "batch_size": batch_size,
                "precision": precision,
                "ours": statistics.median(ours[precision]),
                "scvi": statistics.median(theirs),
                "ratios": ratios,
                "negative_phase_share": statistics.median(shares[precision]),
            }
            rows.append(row)
            spread = f"{min(ratios):.2f} {statistics.median(ratios):.2f} {max(ratios):.2f}"
            print(
                f"{batch_size:>6} {precision:>9} {row['ours']:>13.0f} {row['scvi']:>13.0f} {spread:>22} "
                f"{row['negative_phase_share']:>14.1%}",
                flush=True,
            )
    if args.out:
        args.out.write_text(json.dumps({"rows": rows, "bits": args.bits, "sweeps": args.sweeps}, indent=1))


if __name__ == "__main__":
    main()
