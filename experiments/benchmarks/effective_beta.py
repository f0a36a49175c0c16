"""Speed and agreement of `samplers.effective_beta` with `dwave.system.temperatures`, on one thread.

Run with `python -m experiments.benchmarks.effective_beta`; the peer comes with `pip install 'qbmvae[dwave]'`.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import samplers


def best_of(call: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Return the least CPU seconds of a call among `repeats`, and its result."""
    seconds, result = [], None
    for _ in range(repeats):
        start = time.process_time()
        result = call()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def compare(n: int, num_reads: int, repeats: int, seed: int = 0) -> dict[str, float]:
    """Return times and values of both on Gibbs reads of a dense Gaussian problem, g = 1."""
    import dimod
    from dwave.system.temperatures import maximum_pseudolikelihood_temperature

    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.normal(0, 1 / np.sqrt(n), (n, n)), 1)
    problem = samplers.Ising(rng.normal(0, 0.1, n), couplings + couplings.T)
    states = samplers.get("gibbs", num_sweeps=50).draw(problem, num_reads, seed=seed).states
    model, reads = problem.to_bqm(), (states, list(range(n)))
    samplers.effective_beta(problem, states)  # compile
    ours, (beta, error) = best_of(lambda: samplers.effective_beta(problem, states), max(3, repeats))
    sample_set = dimod.SampleSet.from_samples_bqm(reads, model)
    theirs, answer = best_of(lambda: maximum_pseudolikelihood_temperature(bqm=model, sampleset=sample_set), repeats)
    return {
        "n": n, "num_reads": num_reads, "beta": beta, "error": error, "peer_beta": 1 / answer[0],
        "seconds": ours, "peer_seconds": theirs, "ratio": theirs / ours,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="64,256,512", help="numbers of spins, by commas")
    parser.add_argument("--num-reads", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args()
    rows = []
    print(
        f"effective beta of {given.num_reads} reads, CPU time, best of {given.repeats}; {platform.machine()}, {platform.platform()}"
    )
    print(f"{'n':>5} {'ours':>10} {'dwave.system':>13} {'ratio':>7} {'beta':>9} {'peer':>9}")
    for n in map(int, given.sizes.split(",")):
        with threadpool_limits(1):
            row = compare(n, given.num_reads, given.repeats)
        rows.append(row)
        print(
            f"{n:>5} {1e3 * row['seconds']:>7.1f} ms {1e3 * row['peer_seconds']:>10.0f} ms {row['ratio']:>7.1f} "
            f"{row['beta']:>9.5f} {row['peer_beta']:>9.5f}", flush=True,
        )  # fmt: skip
    if given.out:
        given.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
