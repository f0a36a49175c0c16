"""What one backend reaches on one problem in a given time: low energies, and the moments of the Boltzmann distribution.

Parameters
----------
spec
    A sampler's name with its options.
kind, n, seed, g
    Kind of couplings (of `KINDS`), spins, seed and scale of a problem.
ising, against
    The problem, and the reference that says how far moments are off.
seconds
    Time of the backend, CPU or wall, see `clock`.
"""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import samplers
from samplers.draws import Draws

KINDS = ("pm1", "gaussian")
#: Inverse temperature at which a backend is asked for low energies; couplings have variance 1 / n.
COLD = 10.0
#: Options that turn a machine whose defaults sample at beta 1 into the optimiser that it is best known as.
OPTIMISERS: dict[str, dict[str, Any]] = {
    "simulated-annealing": {"ramp": 1.0, "acceptance": "metropolis"},
    "coherent-ising": {"scale": 0.2},
    "simulated-bifurcation": {"scale": 0.05},
}
READS, SAMPLING_READS, FIRST_DEPTH = 32, 512, 8


def problem(kind: str, n: int, seed: int, g: float = 1.0) -> samplers.Ising:
    """Return a dense problem without fields, couplings ±g / sqrt(n) or N(0, g^2 / n)."""
    rng = np.random.default_rng([seed, n, KINDS.index(kind)])
    values = rng.choice([-1.0, 1.0], (n, n)) if kind == "pm1" else rng.normal(size=(n, n))
    upper = np.triu(values, 1) * (g / np.sqrt(n))
    return samplers.Ising(np.zeros(n), upper + upper.T)


def depth_option(spec: str) -> str | None:
    """Return the option that says how long a read takes, "num_sweeps" or "num_steps", where it is free."""
    sampler = samplers.get(spec)
    return next(
        (
            o
            for o in ("num_sweeps", "num_steps")
            if o in inspect.signature(type(sampler)).parameters and f"{o}=" not in spec
        ),
        None,
    )


def clock(spec: str) -> Callable[[], float]:
    """Return the clock of a backend: CPU time where it works here, wall time where it is remote."""
    return time.perf_counter if samplers.get(spec).remote else time.process_time


def optimise(spec: str, ising: samplers.Ising, seconds: float, seed: int) -> dict[str, Any]:
    """Return what a backend reaches in `seconds`: rounds that double the reads up to 32, then the depth.

    Returns
    -------
    dict
        "trace" of (seconds, best energy), "best", and the lowest "mean" energy of a round's reads.
    """
    options = {k: v for k, v in OPTIMISERS.get(spec.partition("?")[0], {}).items() if f"{k}=" not in spec}
    option, now = depth_option(spec), clock(spec)
    trace: list[tuple[float, float]] = []
    reads, depth, mean, start = 1, FIRST_DEPTH, np.inf, now()
    while True:
        before = now()
        sampler = samplers.get(spec, **options, **({option: depth} if option else {}))
        energies = sampler.draw(ising, reads, COLD, seed=seed + len(trace)).energies
        after = now()
        best = min(float(energies.min()), trace[-1][1] if trace else np.inf)
        trace.append((after - start, best))
        mean = min(mean, float(energies.mean()))
        rest, cost = seconds - (after - start), max(after - before, 1e-6)
        # the last round fills what is left of the time
        grow = min(2.0, 0.9 * rest / cost)
        if reads < READS and grow >= 1:
            reads = min(READS, max(reads + 1, int(reads * grow)))
        elif option and rest > 0.1 * seconds and depth * grow >= FIRST_DEPTH:
            depth = int(depth * grow)
        elif option or grow < 1:
            return {"trace": trace, "best": trace[-1][1], "mean": mean, "reads": reads, "seconds": after - start}


def sampling(
    spec: str, ising: samplers.Ising, against: Any, seconds: float, seed: int
) -> tuple[float, float, int | None]:
    """Return the moment error (1 is ideal), the effective beta, and the depth that filled `seconds`."""
    option, now = depth_option(spec), clock(spec)

    def draw(depth: int | None) -> tuple[Draws, float]:
        sampler, start = samplers.get(spec, **({option: depth} if option and depth else {})), now()
        return sampler.draw(ising, SAMPLING_READS, seed=seed), now() - start

    draws, took = draw(FIRST_DEPTH)
    depth = FIRST_DEPTH if option else None
    if option and took < 0.5 * seconds:
        depth = int(np.clip(FIRST_DEPTH * (seconds - took) / max(took, 1e-3), FIRST_DEPTH, 2000))
        draws, _ = draw(depth)
    beta, _ = samplers.effective_beta(ising, draws.states, weights=draws.weights)
    return against.error(draws), beta, depth


@functools.lru_cache(1)
def _made(kind: str, n: int, seed: int) -> samplers.Ising:
    made = problem(kind, n, seed)
    made.edges  # noqa: B018 - found once for every backend that wants them
    return made


def optimise_cell(spec: str, kind: str, n: int, seed: int, seconds: float) -> dict[str, Any]:
    """Return `optimise` of a problem that is made here, in a process of its own."""
    # CPU time would count the spinning of idle threads
    with threadpool_limits(1):
        return optimise(spec, _made(kind, n, seed), seconds, seed)


def sampling_cell(
    spec: str, kind: str, n: int, seed: int, against: Any, seconds: float
) -> tuple[float, float, int | None]:
    """Return `sampling` of a problem that is made here, in a process of its own."""
    with threadpool_limits(1):
        return sampling(spec, _made(kind, n, seed), against, seconds, seed)


def reference_cell(kind: str, n: int, seed: int) -> Any:
    """Return the reference of a problem that is made here, in a process of its own."""
    from samplers.diagnostics.reference import reference

    with threadpool_limits(1):
        return reference(_made(kind, n, seed), num_reads=2000, seed=seed)


def warm_cell(spec: str) -> None:
    """Compile, connect, raise what is wrong with a backend's options."""
    samplers.get(spec).draw(problem("pm1", 24, 0), 8, seed=0)
