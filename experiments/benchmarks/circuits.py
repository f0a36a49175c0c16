"""Forward and backward of the papers' circuits against PennyLane, one thread, CPU time, in one run.

`lightning.qubit` has no batches, so it runs a part of the batch (--lightning-samples) and its time is scaled up.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from typing import Any

import torch

from qbmvae.circuits import Circuit, DepthInfusedLayer, ReuploadingLayer
from samplers.files import write_json

BIG = """
import sys, time, torch
torch.set_num_threads(1)
from qbmvae.circuits import ReuploadingLayer
layer = ReuploadingLayer(n_qubits=int(sys.argv[1]), n_layers=4, seed=0)
x = torch.randn(int(sys.argv[2]), layer.n_qubits, requires_grad=True)
best = float("inf")
for _ in range(3):
    start = time.process_time()
    layer(x).sum().backward()
    best = min(best, time.process_time() - start)
# ru_maxrss would count the parent's pages from before exec
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(best, int(peak.split()[1]) / 2**20)
"""


def seconds(function: Callable[[], Any], repeats: int) -> float:
    """CPU seconds of the fastest of some calls, after one that compiles."""
    if repeats > 1:
        function()
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


def ours(circuit: Circuit, observables: list[str], angles: torch.Tensor, x: torch.Tensor, engine: str) -> None:
    p, f = angles.clone().requires_grad_(), x.clone().requires_grad_()
    circuit.expval(observables, p, f, engine=engine).sum().backward()


def pennylane(qnode: Any, angles: torch.Tensor, x: torch.Tensor) -> None:
    p, f = angles.clone().requires_grad_(), x.clone().requires_grad_()
    reduce(torch.add, (torch.as_tensor(value).sum() for value in qnode(p, f))).backward()


def compare(
    name: str, circuit: Circuit, observables: list[str], angles: torch.Tensor, batch: int, samples: int
) -> list[dict[str, Any]]:
    """Time every engine on one circuit."""
    import pennylane as qml

    x = torch.randn(batch, circuit.n_features, generator=torch.Generator().manual_seed(0))
    rows: dict[str, float] = {}
    for engine in ("frame", "frame-torch"):
        rows[engine] = seconds(partial(ours, circuit, observables, angles, x, engine), 15)
    rows["per-gate"] = seconds(lambda: ours(circuit, observables, angles, x, "per-gate"), 2)
    qnode = circuit.to_pennylane(observables)
    rows["PennyLane default.qubit, backprop"] = seconds(lambda: pennylane(qnode, angles.double(), x.double()), 2)
    lightning = qml.QNode(qnode.func, qml.device("lightning.qubit", wires=circuit.n_qubits), diff_method="adjoint")
    start = time.process_time()
    for sample in x[:samples].double():
        pennylane(lightning, angles.double(), sample)
    rows["PennyLane lightning.qubit, adjoint"] = (time.process_time() - start) * batch / samples
    for engine in ("frame", "frame-torch"):  # again after the long runs: the machine may have changed its pace
        rows[engine] = min(rows[engine], seconds(partial(ours, circuit, observables, angles, x, engine), 15))
    peers = rows["PennyLane default.qubit, backprop"], rows["PennyLane lightning.qubit, adjoint"]
    return [
        {
            "circuit": f"{name}, batch {batch}",
            "engine": engine,
            "ms": 1e3 * value,
            "x default.qubit": peers[0] / value,
            "x lightning.qubit": peers[1] / value,
        }
        for engine, value in rows.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--lightning-samples", type=int, default=8, help="samples that lightning.qubit runs")
    options = parser.parse_args()
    torch.set_num_threads(1)
    drug, perturbation = DepthInfusedLayer(seed=0), ReuploadingLayer(seed=0)
    n = options.lightning_samples
    rows = compare("drug response, 8 qubits", drug.circuit, ["Z0"], drug.angles.detach().reshape(-1), 64, n)
    rows += compare(
        "perturbation, 8 qubits",
        perturbation.circuit,
        perturbation.observables,
        perturbation.angles.detach().reshape(-1),
        256,
        n,
    )
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, one thread, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}"
    print(f"forward + backward, CPU time; {machine}")
    print(f"{'circuit':34} {'engine':36} {'ms':>10} {'x default':>10} {'x lightning':>12}")
    for row in rows:
        print(
            f"{row['circuit']:34} {row['engine']:36} {row['ms']:10.2f} {row['x default.qubit']:10.1f} "
            f"{row['x lightning.qubit']:12.0f}"
        )
    big = []
    for qubits, batch in ((16, 4), (20, 1)):
        out = subprocess.run(
            [sys.executable, "-c", BIG, str(qubits), str(batch)], capture_output=True, text=True, check=True
        )
        step, memory = map(float, out.stdout.split())
        big.append({"qubits": qubits, "layers": 4, "batch": batch, "seconds": step, "GiB": memory})
        print(
            f"{qubits} qubits, 4 layers, batch {batch}: {step:.2f} s a step, {memory:.2f} GiB at the peak of the process"
        )
    if options.out:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        write_json(options.out, {"machine": machine, "rows": rows, "large": big, "GiB": peak})


if __name__ == "__main__":
    main()
