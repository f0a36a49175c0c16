"""On an accelerator: training cells per second against scVI, and the negative phase at 256, 1,024 and 2,048 bits.

`python -m experiments.benchmarks.gpu` on a machine with a GPU; `--device cpu` runs the same code anywhere. Wall time, as
that is what an accelerator saves; the device is synchronised around every measurement.

Parameters
----------
device, repeats, call
    Where to compute, how often, and what.
bits, topology, chains
    Size and shape of a prior, and its chains.
adata, batch_size, epochs
    Cells to train on, and the budget.
"""

from __future__ import annotations

import logging
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any, Literal

from experiments.benchmarks.report import arguments, finish
from experiments.benchmarks.training_speed import synthetic
from samplers.errors import InputError

Row = dict[str, Any]


def synchronise(device: str) -> None:
    """Wait until the device has done its work."""
    import torch

    if device != "cpu":
        torch.cuda.synchronize()


def peak_memory(device: str) -> float | None:
    """Return the most memory that tensors took on the device since the last call, GB; None on the CPU."""
    import torch

    if device == "cpu":
        return None
    most = torch.cuda.max_memory_allocated() / 1e9
    torch.cuda.reset_peak_memory_stats()
    return most


def seconds(call: Callable[[], Any], device: str, repeats: int) -> float:
    """Return the median wall time of `repeats` calls after one that compiles."""
    call()
    times = []
    for _ in range(repeats):
        synchronise(device)
        start = time.perf_counter()
        call()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def negative_phase(bits: int, topology: str, chains: int, device: str, repeats: int) -> Row:
    """Return the time of one step's negative phase: two sweeps, moments and their gradient."""
    import torch

    from qbmvae.core.priors import BoltzmannPrior, DiscretePrior, RestrictedBoltzmannPrior
    from qbmvae.core.training.negative_phase import NegativePhase
    from samplers.strategies.persistent import Persistent

    torch.manual_seed(0)
    prior: DiscretePrior
    if topology == "dense":
        prior = dense = BoltzmannPrior(bits)
        draw = torch.randn(bits, bits) * 0.5 / bits**0.5
        dense.W.data.copy_((draw + draw.T) / 2 * dense.mask)
    else:
        prior = restricted = RestrictedBoltzmannPrior(bits, bits)
        restricted.couplings.data.copy_(torch.randn(bits, bits) * 0.5 / bits**0.5)
    phase = NegativePhase(Persistent(num_sweeps=2, device=device), chains, 0)
    prior.to(device)
    peak_memory(device)

    def step() -> None:
        prior.zero_grad()
        phase.log_partition_surrogate(prior).backward()

    took = seconds(step, device, repeats)
    return {"what": f"negative phase, {bits} bits, {topology}", "ms": 1e3 * took, "memory_gb": peak_memory(device)}


def training(adata: Any, batch_size: int, epochs: int, bits: int, device: str) -> list[Row]:
    """Return cells per second of whole `train` calls, ours in both precisions and scVI's."""
    import scvi
    import torch

    from qbmvae import QBMVAE

    accelerator = "cpu" if device == "cpu" else "gpu"
    options: dict[str, Any] = {
        "batch_size": batch_size, "train_size": 1.0, "accelerator": accelerator, "devices": 1,
    }  # fmt: skip

    def ours(precision: Literal["32", "bf16"], n_epochs: int) -> None:
        QBMVAE.setup_anndata(adata, batch_key="batch")
        model = QBMVAE(adata, n_latent=bits, sampler=f"persistent?num_sweeps=2&device={device}")
        model.train(max_epochs=n_epochs, progress_bar=False, cycle_consistency=0.0, precision=precision, **options)

    def theirs(n_epochs: int) -> None:
        scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
        model = scvi.model.SCVI(adata, n_layers=2, n_hidden=128, n_latent=10, gene_likelihood="nb")
        model.train(max_epochs=n_epochs, enable_progress_bar=False, **options)

    rows = []
    calls: dict[str, Callable[[int], None]] = {
        "scVI": theirs,
        "QBM-VAE, 32": lambda n: ours("32", n),
        "QBM-VAE, bf16": lambda n: ours("bf16", n),
    }
    with torch.random.fork_rng():
        for name, call in calls.items():
            call(1)
            peak_memory(device)
            synchronise(device)
            start = time.perf_counter()
            call(epochs)
            synchronise(device)
            rate = adata.n_obs * epochs / (time.perf_counter() - start)
            rows.append({"what": f"{name}, batch {batch_size}", "cells_s": rate, "memory_gb": peak_memory(device)})
    for row in rows[1:]:
        row["ratio"] = row["cells_s"] / rows[0]["cells_s"]
    return rows


def main(argv: list[str] | None = None) -> list[Row]:
    """Run the benchmark, print a table and return its rows.

    Raises
    ------
    InputError
        Where the device is not there.
    """
    import torch

    options = arguments(
        __doc__, argv, device=("cuda", "cuda or cpu"), bits=[256, 1024, 2048], chains=512, cells=50_000, genes=2000,
        batch_sizes=[128, 1024, 4096], epochs=5, latent=(128, "bits of the trained model"), repeats=20,
    )  # fmt: skip
    if options.device != "cpu" and not torch.cuda.is_available():
        raise InputError(f"there is no device {options.device!r} here: run with --device cpu")
    rows, before = [], logging.root.manager.disable
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for bits in options.bits:
            for topology in ("dense", "bipartite"):
                rows.append(negative_phase(bits, topology, options.chains, options.device, options.repeats))
        adata = synthetic(options.cells, options.genes, 0.1, 0)
        for batch_size in options.batch_sizes:
            rows += training(adata, batch_size, options.epochs, options.latent, options.device)
    logging.disable(before)
    name = "CPU" if options.device == "cpu" else torch.cuda.get_device_name()
    finish(f"{name}, {options.chains} chains x 2 sweeps, {options.latent} bits trained", rows, options.out)
    return rows


if __name__ == "__main__":
    main()
