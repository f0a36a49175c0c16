"""What a bad sampler costs: a Boltzmann machine of 12 bits trained with each sampler's reads, in held-out nats.

A planted machine (couplings N(0, g^2 / n), g = 1.5) gives 2,000 training states; a student climbs their likelihood for 150
steps with 1,024 reads a step as its negative phase. Held-out KL is KL(planted || student) over all states, by enumeration;
the cost of a sampler is its KL minus that of a student with exact gradients, on the same data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from dwave.samplers import SimulatedAnnealingSampler

import samplers
from experiments.benchmarks.report import arguments, finish, selected
from experiments.benchmarks.samplers_training import Moments, Teacher, iid, sampled
from samplers import Sampler
from samplers.wrappers import Quantise

SPINS, COUPLING, STATES, STEPS, READS, RATE, SEEDS = 12, 1.5, 2000, 150, 1024, 0.3, 5

NEGATIVE: dict[str, Callable[[], Sampler]] = {
    "exact": lambda: samplers.get("exact"),
    "gibbs": lambda: samplers.get("gibbs"),
    "gibbs, 5 sweeps": lambda: samplers.get("gibbs", num_sweeps=5),
    "persistent": lambda: samplers.get("persistent"),
    "population-annealing": lambda: samplers.get("population-annealing", num_sweeps=24),
    "simulated-annealing at beta 1": lambda: samplers.get("simulated-annealing"),
    "simulated annealing as an optimiser": lambda: samplers.from_dimod(SimulatedAnnealingSampler()),
    "quantised machine, 8 bits": lambda: Quantise("population-annealing?num_sweeps=24", bits=8),
    "quantised machine, 4 bits": lambda: Quantise("population-annealing?num_sweeps=24", bits=4),
    "quantised machine, 8 bits, 1 % flips": lambda: samplers.get(
        "mock-machine", gain=1.0, bits=8, flip_rate=0.01, engine="population-annealing?num_sweeps=24"
    ),
}


def planted(seed: int) -> tuple[Teacher, float]:
    """Return a planted machine whose moments are those of its training states, and the KL of exact gradients."""
    teacher = Teacher(SPINS, COUPLING, seed)
    counts = np.random.default_rng(1000 + seed).multinomial(STATES, teacher.p)
    teacher.moments = teacher.moments_of(counts / STATES)
    return teacher, teacher.train(teacher.exact, STEPS, RATE)


def rows(wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return the table: held-out KL and what it costs, in nats."""
    teachers = [planted(seed) for seed in range(SEEDS)]
    table: list[dict[str, Any]] = [
        {"sampler": "exact gradients", "KL": float(np.mean([kl for _, kl in teachers])), "cost": 0.0}
    ]
    runs: dict[str, Callable[[Teacher, int], Callable[[np.ndarray, np.ndarray], Moments]]] = {
        "independent exact reads": lambda teacher, seed: iid(teacher, READS, seed),
        **{name: (lambda _, seed, make=make: sampled(make(), READS, seed)) for name, make in NEGATIVE.items()},  # type: ignore[misc]
    }
    for name, run in runs.items():
        if wanted(name):
            found = [teacher.train(run(teacher, seed), STEPS, RATE) for seed, (teacher, _) in enumerate(teachers)]
            cost = [kl - best for kl, (_, best) in zip(found, teachers, strict=True)]
            table.append(
                {"sampler": name, "KL": float(np.mean(found)), "cost": float(np.mean(cost)), "each seed": cost}
            )
    return table


def main() -> None:
    options = arguments(__doc__)
    finish("What a sampler costs in held-out nats, 12 bits", rows(lambda name: selected(options, name)), options.out)


if __name__ == "__main__":
    main()
