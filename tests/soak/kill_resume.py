"""Twenty `kill -9`s at random moments of one training: does it end where the uninterrupted one ends, to the bit?

Weights, Adam's moments, chains and their weights, generators and history are compared. Run with
`python -m tests.soak.kill_resume`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")


def child(folder: Path, cells: int, epochs: int) -> None:
    """Train from wherever the folder's checkpoint stands, writing one every few steps."""
    import logging
    import warnings

    import torch

    from experiments.benchmarks.training_speed import synthetic
    from qbmvae import QBMVAE
    from qbmvae.core.training import checkpoint

    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    adata = synthetic(cells, 300, 0.1, 0)
    QBMVAE.setup_anndata(adata, batch_key="batch")
    model = QBMVAE(adata, n_latent=32, n_hidden=32)
    started = (folder / checkpoint.NAME).is_file()
    print("go", flush=True)
    model.train(
        max_epochs=epochs, checkpoint_dir=folder, checkpoint_every=3, progress_bar=False, accelerator="cpu",
        resume_from=folder if started else None,
    )  # fmt: skip


def command(folder: Path, cells: int, epochs: int) -> list[str]:
    """Return the command of a child."""
    arguments = ["--child", str(folder), "--cells", str(cells), "--epochs", str(epochs)]
    return [sys.executable, "-m", "tests.soak.kill_resume", *arguments]


def first_difference(one: Any, two: Any, where: str = "state") -> str | None:
    """Return where two states differ first, or None where they are equal to the bit."""
    import numpy as np
    import torch

    if isinstance(one, dict):
        if not isinstance(two, dict) or one.keys() != two.keys():
            return where
        pairs = [(one[key], two[key], f"{where}.{key}") for key in one]
    elif isinstance(one, list | tuple):
        if not isinstance(two, list | tuple) or len(one) != len(two):
            return where
        pairs = [(a, b, f"{where}[{i}]") for i, (a, b) in enumerate(zip(one, two, strict=True))]
    else:
        if isinstance(one, torch.Tensor):
            equal = torch.equal(one, two)
        elif isinstance(one, np.ndarray):
            equal = np.array_equal(one, two)
        else:
            equal = one == two
        return None if equal else where
    return next((found for a, b, name in pairs if (found := first_difference(a, b, name))), None)


def main() -> int:
    """Run the benchmark; exit code 1 where the ends differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cells", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.cells, args.epochs)
        return 0
    import numpy as np

    from qbmvae.core.training import checkpoint

    with tempfile.TemporaryDirectory() as root:
        whole, killed = Path(root) / "whole", Path(root) / "killed"
        start = time.perf_counter()
        subprocess.run(command(whole, args.cells, args.epochs), check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        # moments that leave about as much to train after each kill
        rng = np.random.default_rng(args.seed)
        places = []
        for _ in range(args.kills):
            process = subprocess.Popen(command(killed, args.cells, args.epochs), stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.exponential(seconds / args.kills / 2))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            path = killed / checkpoint.NAME
            state = checkpoint.load(path) if path.is_file() else {"epoch": 0, "step_in_epoch": 0}
            places.append((state["epoch"], state["step_in_epoch"]))
        subprocess.run(command(killed, args.cells, args.epochs), check=True, stdout=subprocess.DEVNULL)
        difference = first_difference(
            checkpoint.load(whole / checkpoint.NAME), checkpoint.load(killed / checkpoint.NAME)
        )
    print(f"{args.kills} kills; checkpoints (epoch, step) found after each: {' '.join(f'{e}.{s}' for e, s in places)}")
    print(f"uninterrupted: {seconds:.0f} s, {args.epochs} epochs of {args.cells} cells")
    print("equal to the bit at the end" if difference is None else f"first difference: {difference}")
    return int(difference is not None)


if __name__ == "__main__":
    sys.exit(main())
