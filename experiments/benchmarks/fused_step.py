"""What the step without the autograd engine gains over the fused layers under autograd: CPU time of whole trainings.

Each pair runs in turn; the median ratio is what counts. Run with `python -m experiments.benchmarks.fused_step`.
"""

from __future__ import annotations

import statistics
from typing import Literal

from experiments.benchmarks.report import arguments, finish
from experiments.benchmarks.training_speed import synthetic, train_ours

BATCH_SIZES, REPEATS = (128, 512, 1024), 5
CELLS, GENES, DENSITY, EPOCHS, BITS, SWEEPS = 4096, 2000, 0.1, 15, 128, 2


def main() -> None:
    """Run the benchmark and print a table."""
    import logging

    import torch

    options = arguments(__doc__)
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    adata = synthetic(CELLS, GENES, DENSITY, 0)
    for fused in ("auto", "off"):
        train_ours(adata[:512].copy(), 128, 1, BITS, SWEEPS, fused=fused)
    rows = []
    for batch_size in BATCH_SIZES:
        seconds: dict[Literal["auto", "off"], list[float]] = {"auto": [], "off": []}
        for _ in range(REPEATS):
            for fused, found in seconds.items():
                found.append(train_ours(adata, batch_size, EPOCHS, BITS, SWEEPS, fused=fused)[0])
        ratios = [off / auto for auto, off in zip(seconds["auto"], seconds["off"], strict=True)]
        speed = {fused: CELLS * EPOCHS / statistics.median(found) for fused, found in seconds.items()}
        rows.append(
            {
                "batch size": batch_size,
                "fused step cells/s": speed["auto"],
                "autograd cells/s": speed["off"],
                "gain (median)": statistics.median(ratios),
                "least": min(ratios),
                "largest": max(ratios),
            }
        )
    finish(f"fused step, {CELLS} cells x {GENES} genes, {BITS} bits, {EPOCHS} epochs, 1 thread", rows, options.out)


if __name__ == "__main__":
    main()
