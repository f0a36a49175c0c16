"""Speed and agreement of `samplers.effective_beta` with `dwave.system.temperatures`, on one thread.

Run with `python -m experiments.benchmarks.effective_beta`; the peer comes with `pip install 'qbmvae[dwave]'`.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

import samplers
from experiments.benchmarks.report import arguments, best_of, finish


def compare(n: int, num_reads: int, repeats: int, seed: int = 0) -> dict[str, float]:
    """Return times and values of both on Gibbs reads of a dense Gaussian problem, g = 1.

    Parameters
    ----------
    n, num_reads
        Spins of the problem and reads of it.
    repeats
        Calls of which the fastest counts.
    seed
        Of problem and reads.
    """
    import dimod
    from dwave.system.temperatures import maximum_pseudolikelihood_temperature

    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.normal(0, 1 / np.sqrt(n), (n, n)), 1)
    problem = samplers.Ising(rng.normal(0, 0.1, n), couplings + couplings.T)
    states = samplers.get("gibbs", num_sweeps=50).draw(problem, num_reads, seed=seed).states
    model, reads = problem.to_bqm(), (states, list(range(n)))
    beta, error = samplers.effective_beta(problem, states)
    ours = best_of(lambda: samplers.effective_beta(problem, states), max(3, repeats))
    sample_set = dimod.SampleSet.from_samples_bqm(reads, model)
    answer = maximum_pseudolikelihood_temperature(bqm=model, sampleset=sample_set)
    theirs = best_of(lambda: maximum_pseudolikelihood_temperature(bqm=model, sampleset=sample_set), repeats)
    return {
        "n": n, "ours, ms": 1e3 * ours, "dwave.system, ms": 1e3 * theirs, "ratio": theirs / ours, "beta": beta,
        "error": error, "its beta": 1 / answer[0],
    }  # fmt: skip


def main() -> None:
    """Run the benchmark and print a table."""
    options = arguments(__doc__, sizes=([64, 256, 512], "numbers of spins"), num_reads=1024, repeats=3)
    with threadpool_limits(1):
        rows = [compare(n, options.num_reads, options.repeats) for n in options.sizes]
    finish(f"effective beta of {options.num_reads} reads, CPU time, best of {options.repeats}", rows, options.out)


if __name__ == "__main__":
    main()
