"""What the step without the autograd engine gains over the fused layers under autograd: CPU time of whole trainings.

Each pair runs in turn; the median ratio is what counts. Run with `python -m experiments.benchmarks.fused_step`.
"""

from __future__ import annotations

import statistics
from functools import partial
from typing import Literal

from experiments.benchmarks.report import arguments, finish, in_turn, one_quiet_thread, ratios
from experiments.benchmarks.training_speed import synthetic, train_ours

BATCH_SIZES, REPEATS = (128, 512, 1024), 5
CELLS, GENES, DENSITY, EPOCHS, BITS, SWEEPS = 4096, 2000, 0.1, 15, 128, 2


def main() -> None:
    """Run the benchmark and print a table."""
    options = arguments(__doc__)
    one_quiet_thread()
    adata = synthetic(CELLS, GENES, DENSITY, 0)
    ways: tuple[Literal["auto", "off"], ...] = ("auto", "off")
    for fused in ways:
        train_ours(adata[:512].copy(), 128, 1, BITS, SWEEPS, fused=fused)
    rows = []
    for batch_size in BATCH_SIZES:
        calls = {
            str(fused): partial(train_ours, adata, batch_size, EPOCHS, BITS, SWEEPS, fused=fused) for fused in ways
        }
        seconds = {way: [cpu for cpu, _ in found] for way, found in in_turn(calls, REPEATS).items()}
        rows.append(
            {
                "batch size": batch_size,
                "fused step cells/s": CELLS * EPOCHS / statistics.median(seconds["auto"]),
                "autograd cells/s": CELLS * EPOCHS / statistics.median(seconds["off"]),
                **ratios(seconds["auto"], seconds["off"], "gain"),
            }
        )
    finish(f"fused step, {CELLS} cells x {GENES} genes, {BITS} bits, {EPOCHS} epochs, 1 thread", rows, options.out)


if __name__ == "__main__":
    main()
