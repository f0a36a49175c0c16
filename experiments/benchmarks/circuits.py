"""Forward and backward of the papers' circuits against PennyLane, one thread, CPU time, in one run.

`lightning.qubit` has no batches, so it runs a part of the batch (--lightning-samples) and its time is scaled up.

Parameters
----------
circuit, qnode, observables
    What is measured, ours and PennyLane's.
angles, x, engine
    Parameters `(n_params,)`, features `(batch, n_features)`, and which engine of ours computes.
name, batch, samples
    Name of a row, samples of a step, and those that `lightning.qubit` runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import torch

from experiments.benchmarks.report import alone, arguments, best_of, cpu_seconds, finish, one_quiet_thread, peak_gb
from qbmvae.circuits import Circuit, DepthInfusedLayer, ReuploadingLayer


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
    frames: dict[str, Callable[[], None]] = {
        engine: partial(ours, circuit, observables, angles, x, engine) for engine in ("frame", "frame-torch")
    }
    rows = {engine: best_of(call, 15) for engine, call in frames.items()}
    rows["per-gate"] = best_of(partial(ours, circuit, observables, angles, x, "per-gate"), 2)
    qnode = circuit.to_pennylane(observables)
    rows["PennyLane default.qubit, backprop"] = best_of(lambda: pennylane(qnode, angles.double(), x.double()), 2)
    lightning = qml.QNode(qnode.func, qml.device("lightning.qubit", wires=circuit.n_qubits), diff_method="adjoint")
    seconds = sum(cpu_seconds(partial(pennylane, lightning, angles.double(), one)) for one in x[:samples].double())
    rows["PennyLane lightning.qubit, adjoint"] = seconds * batch / samples
    # again after the long runs: the machine may have changed its pace
    rows |= {engine: min(rows[engine], best_of(call, 15)) for engine, call in frames.items()}
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


def large(qubits: int, batch: int) -> dict[str, Any]:
    """Return time and peak memory of a step of a large circuit, measured in a process of its own."""
    one_quiet_thread()
    layer = ReuploadingLayer(n_qubits=qubits, n_layers=4, seed=0)
    x = torch.randn(batch, qubits, requires_grad=True)
    took = best_of(lambda: layer(x).sum().backward(), 2)
    return {"circuit": f"{qubits} qubits, 4 layers, batch {batch}", "ms": 1e3 * took, "peak GB": peak_gb()}


def main() -> None:
    """Run the benchmark and print a table."""
    options = arguments(__doc__, lightning_samples=(8, "samples that lightning.qubit runs"))
    one_quiet_thread()
    rows = []
    drug, perturbation = DepthInfusedLayer(seed=0), ReuploadingLayer(seed=0)
    for name, layer, observables, batch in (
        ("drug response, 8 qubits", drug, ["Z0"], 64),
        ("perturbation, 8 qubits", perturbation, perturbation.observables, 256),
    ):
        angles = layer.angles.detach().reshape(-1)
        rows += compare(name, layer.circuit, observables, angles, batch, options.lightning_samples)
    rows += [alone(large, qubits, batch) for qubits, batch in ((16, 4), (20, 1))]
    finish("forward + backward, CPU time, one thread", rows, options.out)


if __name__ == "__main__":
    main()
