"""The simulator's speed and memory: an atlas of bits, Qiskit Aer as the peer, counts streamed to disk.

Run with `python -m experiments.benchmarks.cellsim [--out FILE]`. CPU time throughout, one thread; Aer runs in the same
process right before and after ours, and only its execution is counted, not the transpiler.

Parameters
----------
n_genes, n_qubits, n_cells, n_edges
    Size of the circuit (a gene is a qubit, an edge a CX gate) and number of cells drawn from it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments.benchmarks.report import alone, arguments, finish, peak_gb, selected


def atlas(n_genes: int = 20_000, n_cells: int = 1_000_000, n_edges: int = 40_000) -> dict[str, float]:
    """Bits of a whole transcriptome in a whole atlas, all in memory (64 cells a word)."""
    from qbmvae.cellsim import GeneCircuit

    rng = np.random.default_rng(0)
    edges = [
        (int(a), int((a + 1 + d) % n_genes)) for a, d in zip(*rng.integers(0, n_genes - 1, (2, n_edges)), strict=True)
    ]
    circuit = GeneCircuit(rng.random(n_genes), edges)
    GeneCircuit([0.5, 0.5], [(0, 1)]).sample_packed(10, seed=0)
    start = time.process_time()
    packed = circuit.sample_packed(n_cells, seed=1)
    seconds = time.process_time() - start
    checked = rng.choice(n_genes, 200, replace=False)
    on = np.array([np.bitwise_count(packed[g, : n_cells // 64]).sum() / n_cells for g in checked])
    exact = circuit.marginals()[checked]
    worst = np.abs((on - exact) / np.sqrt(np.maximum(exact * (1 - exact), 1e-9) / n_cells)).max()
    return {"cpu_s": seconds, "peak_GB": peak_gb(), "worst_z_of_200_genes": float(worst)}


def against_aer(n_qubits: int = 26, n_cells: int = 2000, n_edges: int = 40) -> dict[str, float]:
    """The same circuit and number of cells from Aer's statevector and from the GF(2) engine."""
    from qiskit import transpile
    from qiskit_aer import AerSimulator

    from qbmvae.cellsim import GeneCircuit

    rng = np.random.default_rng(0)
    edges = [tuple(int(v) for v in rng.choice(n_qubits, 2, replace=False)) for _ in range(n_edges)]
    circuit = GeneCircuit(rng.random(n_qubits), edges)
    circuit.sample(n_cells, seed=0)
    ours = []

    def time_ours(repeats: int = 2000) -> None:
        start = time.process_time()
        for seed in range(repeats):
            circuit.sample(n_cells, seed=seed)
        ours.append((time.process_time() - start) / repeats)

    backend = AerSimulator(max_parallel_threads=1)
    program = transpile(circuit.to_qiskit(measure=True), backend)
    time_ours()
    start = time.process_time()
    counts = backend.run(program, shots=n_cells, seed_simulator=1).result().get_counts()
    aer = time.process_time() - start
    time_ours()
    on = sum(n * np.array([int(b) for b in reversed(word)]) for word, n in counts.items()) / n_cells
    exact = circuit.marginals()
    worst = np.abs((on - exact) / np.sqrt(np.maximum(exact * (1 - exact), 1e-9) / n_cells)).max()
    return {
        "aer_cpu_s": aer,
        "ours_cpu_s": float(np.mean(ours)),
        "ratio": aer / float(np.mean(ours)),
        "aer_worst_z": float(worst),
    }


def streamed(n_genes: int = 2000, n_cells: int = 50_000) -> dict[str, float]:
    """Counts to .h5ad: peak memory of the whole process and the size of the file."""
    from qbmvae.cellsim import simulate_to_file

    rng = np.random.default_rng(0)
    names = [f"g{i}" for i in range(n_genes)]
    edges = [
        [int(a), int((a + 1 + d) % n_genes)] for a, d in zip(*rng.integers(0, n_genes - 1, (2, n_genes)), strict=True)
    ]
    types = {"A": dict(zip(names, rng.uniform(0, 0.5, n_genes).tolist(), strict=True))}
    before = peak_gb()
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        path = simulate_to_file(Path(folder) / "s.h5ad", {"cell_types": types, "edges": edges}, n_cells=n_cells, seed=0)
        size = path.stat().st_size / 1e9
    return {"cpu_s": time.process_time() - start, "peak_GB": peak_gb(), "before_GB": before, "file_GB": size}


PARTS: dict[str, tuple[Callable[..., dict[str, float]], tuple[int, ...]]] = {
    "atlas": (atlas, ()),
    "against_aer": (against_aer, ()),
    "streamed_25k": (streamed, (2000, 25_000)),
    "streamed_100k": (streamed, (2000, 100_000)),
}


def main() -> None:
    """Run the benchmark and print a table."""
    options = arguments(__doc__)
    # a process of its own, so that peak memory is that part's
    parts = {part: call for part, call in PARTS.items() if selected(options, part)}
    rows = [{"part": part, **alone(function, *sizes)} for part, (function, sizes) in parts.items()]
    finish("simulator, one thread, CPU time", rows, options.out)


if __name__ == "__main__":
    main()
