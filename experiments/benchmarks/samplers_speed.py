"""Speed of the local samplers against `SimulatedAnnealingSampler` at constant beta, one thread, CPU time.

1,024 reads of 100 sweeps, end to end with the SampleSet, best of three; the peer gets the same sweeps on fewer reads
where it would take minutes (its time is proportional to reads), scaled up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dwave.samplers import SimulatedAnnealingSampler

import samplers
from experiments.benchmarks.report import arguments, best_of, finish, selected

READS, SWEEPS = 1024, 100


def _amx() -> bool:
    info = Path("/proc/cpuinfo")
    return info.exists() and "amx_int8" in info.read_text()


def problems() -> dict[str, tuple[samplers.Ising, float]]:
    """Return the problems with the least ratio that is asked for (CPUs without AMX: half of it for n >= 512)."""
    rng = np.random.default_rng(0)

    def dense(n: int) -> samplers.Ising:
        return samplers.Ising(0.1 * rng.normal(size=n), np.triu(rng.normal(size=(n, n)) / np.sqrt(n), 1))

    def rbm(m: int) -> samplers.Ising:
        h = 0.1 * rng.normal(size=2 * m)
        return samplers.Ising.bipartite(h[:m], h[m:], rng.normal(size=(m, m)) / np.sqrt(2 * m))

    def sparse(n: int, degree: int) -> samplers.Ising:
        import networkx as nx

        graph = nx.random_regular_graph(degree, n, seed=1)
        return samplers.Ising(0.1 * rng.normal(size=n), {e: rng.normal() / np.sqrt(degree) for e in graph.edges})

    return {
        "dense 128": (dense(128), 18),
        "dense 256": (dense(256), 18),
        "dense 512": (dense(512), 22 if _amx() else 11),
        "dense 1024": (dense(1024), 30 if _amx() else 15),
        "rbm 256^2": (rbm(256), 20),
        "rbm 512^2": (rbm(512), 45),
        "sparse 1000, degree 4": (sparse(1000, 4), 6),
        "sparse 1000, degree 20": (sparse(1000, 20), 6),
    }


def against_simulated_annealing(name: str, problem: samplers.Ising, asked: float) -> dict[str, Any]:
    """Time our constant-beta Gibbs and the peer, both to a SampleSet.

    Parameters
    ----------
    name, problem
        Of the row.
    asked
        The least ratio that is asked for.
    """
    sampler = samplers.get("gibbs", num_sweeps=SWEEPS)
    ours = best_of(lambda: sampler.draw(problem, READS, seed=1).to_sampleset(problem))
    draws = sampler.draw(problem, READS, seed=1)
    sampleset = best_of(lambda: draws.to_sampleset(problem))
    bqm, reads = problem.to_bqm(), 16 if problem.n > 300 else 64
    peer = SimulatedAnnealingSampler()

    def anneal(num: int) -> Any:
        return peer.sample(
            bqm,
            num_reads=num,
            beta_schedule_type="custom",
            beta_schedule=np.ones(SWEEPS),
            num_sweeps_per_beta=1,
            seed=1,
        )

    # two sizes, so that the peer's fixed cost (converting the model) is not multiplied
    few, many = best_of(lambda: anneal(1), 2), best_of(lambda: anneal(reads), 2)
    theirs = few + (many - few) * (READS - 1) / (reads - 1)
    spins = READS * SWEEPS * problem.n
    return {
        "problem": name, "ours, ns a spin": 1e9 * ours / spins, "peer, ns a spin": 1e9 * theirs / spins,
        "ratio": theirs / ours, "asked": asked, "SampleSet share": sampleset / ours,
    }  # fmt: skip


def main() -> None:
    options = arguments(__doc__)
    rows = [against_simulated_annealing(k, *v) for k, v in problems().items() if selected(options, k)]
    finish("Sampling speed against SimulatedAnnealingSampler (constant beta), CPU time, one thread", rows, options.out)


if __name__ == "__main__":
    main()
