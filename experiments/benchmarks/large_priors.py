"""A prior of 2,048 bits trains: time a step, negative phase, memory, and its chains' moments against parallel tempering.

Dense couplings (a Boltzmann machine) and bipartite ones (a restricted Boltzmann machine), inside a whole QBM-VAE on
synthetic counts. The floor is the same distance between two halves of the parallel tempering's reads. Run with
`python -m experiments.benchmarks.large_priors`.
"""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any

from experiments.benchmarks.report import alone, arguments, cpu_seconds, finish, one_quiet_thread, peak_gb
from experiments.benchmarks.training_speed import synthetic


def measure(topology: str, args: Namespace) -> dict[str, Any]:
    """Train one model and return its row."""
    import numpy as np
    import torch

    import samplers
    from qbmvae.core.training.trainer import Trainer, TrainingConfig
    from qbmvae.core.vae import VAE, Batch
    from qbmvae.data.memory_source import MemorySource

    class Timed(Trainer):
        """Keeps each step's CPU seconds."""

        def _step(self, batch: Batch, step: int) -> None:
            begun = super()._step
            steps.append(cpu_seconds(lambda: begun(batch, step)))

    one_quiet_thread()
    torch.manual_seed(0)
    steps: list[float] = []
    adata = synthetic(args.cells, args.genes, 0.1, 0)
    batches = (adata.obs["batch"] == "1").to_numpy().astype(np.int64)
    source = MemorySource(adata.X, np.asarray(adata.X.sum(1)).ravel(), [batches])
    hidden = args.hidden if topology == "bipartite" else None
    vae = VAE(args.genes, (2,), n_latent=args.bits, topology=topology, n_hidden_units=hidden)
    # without couplings there would be nothing to sample: the KL has its full weight from the start
    config = TrainingConfig(max_epochs=args.epochs, num_chains=args.chains, kl_warmup=0.0, cycle_consistency=0.0)
    trainer = Timed(vae, source, None, samplers.get("persistent", num_sweeps=2), config, progress=False)
    cpu = cpu_seconds(trainer.fit)
    prior: Any = vae.prior
    phase = trainer.negative_phase
    assert phase is not None
    problem = prior.problem()
    start = time.process_time()
    chains = np.concatenate([phase.draw(prior).resample(seed=0).states for _ in range(args.rounds)])
    draw = (time.process_time() - start) / args.rounds
    memory = peak_gb()
    reference = samplers.get("parallel-tempering", num_sweeps=args.tempering).draw(problem, args.reads, seed=1)
    rng = np.random.default_rng(0)
    i, j = rng.integers(problem.n, size=(2, 20_000))
    i, j = i[i != j], j[i != j]

    def moments(states: np.ndarray) -> np.ndarray:
        spins = states.astype(np.float32)
        return np.concatenate([spins.mean(0), (spins[:, i] * spins[:, j]).mean(0)])

    def distance(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.sqrt(np.mean((moments(one) - moments(other)) ** 2)))

    halves = rng.permutation(args.reads)
    half = args.reads // 2
    return {
        "topology": topology,
        "spins": problem.n,
        "step_s": float(np.median(steps)),
        "draw_s": draw,
        "train_s": cpu,
        "peak_rss_gb": memory,
        "ess": phase.effective_sample_size / args.chains,
        "coupling_sd": float(prior.W.std() if topology == "dense" else prior.couplings.std()),
        "round_trips": reference.info["round_trips"],
        # equal numbers of reads on both sides of each distance
        "distance": distance(chains[rng.permutation(len(chains))[:half]], reference.states[halves[:half]]),
        "floor": distance(reference.states[halves[:half]], reference.states[halves[half:]]),
    }


def main() -> None:
    """Run the benchmark and print a table; each topology in a process of its own, for its own peak memory."""
    options = arguments(
        __doc__, bits=2048, hidden=(2048, "hidden units of the bipartite prior"), cells=2560, genes=1000, chains=256, epochs=5,
        rounds=(2, "draws of the chains whose moments are compared"), reads=(256, "of parallel tempering"),
        tempering=(100, "sweeps of parallel tempering"),
    )  # fmt: skip
    rows = [alone(measure, topology, options) for topology in ("dense", "bipartite")]
    finish(f"Priors of {options.bits} bits, {options.chains} chains x 2 sweeps, batch 128, 1 thread", rows, options.out)


if __name__ == "__main__":
    main()
