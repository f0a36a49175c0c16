"""Error and speed of every local backend with its default options: the table of the `samplers` page.

Error: rms error of E[s_i s_j] at beta 1 against enumeration, over that of as many independent exact reads, on dense
problems of 20 spins, couplings N(0, g^2 / n); machines with their correction sweeps, and the same sweeps from random
spins next to them. Speed: CPU time on one thread for 1,024 reads of a dense problem of 256 spins, best of three; 32 times
that of 32 reads where it would be more than a minute.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import samplers
from experiments.benchmarks.report import arguments, best_of, finish, selected
from experiments.benchmarks.samplers_exactness import moment_error, spin_glass
from samplers import Draws, InputError
from samplers.strategies.exact import exact_moments
from samplers.wrappers.correction import random_start

READS, FEW, SMALL, LARGE, SEEDS = 1024, 32, 20, 256, 5


def errors(name: str, g: float) -> tuple[list[float], list[float], list[float]]:
    """Return moment errors and effective betas of each seed, and the errors of the correction sweeps alone."""
    found: list[float] = []
    betas: list[float] = []
    alone: list[float] = []
    for seed in range(SEEDS):
        problem = spin_glass(SMALL, g, seed, h=0.1)
        second = exact_moments(problem)[1]
        sampler = samplers.get(name)
        draws = sampler.draw(problem, READS, seed=seed)
        found.append(moment_error(draws, second))
        betas.append(samplers.effective_beta(problem, draws.states, weights=draws.weights)[0])
        if sweeps := int(draws.info.get("correction_sweeps", 0)):
            alone.append(moment_error(Draws(random_start(problem, READS, sweeps, seed=seed)), second))
    return found, betas, alone


def milliseconds(name: str) -> float | str:
    """Return CPU milliseconds of 1,024 reads at 256 spins, or why there are none."""
    problem = spin_glass(LARGE, 1.0, 0, h=0.1)
    # a generator: kept chains go on
    sampler, rng = samplers.get(name), np.random.default_rng(1)
    try:
        start = time.process_time()
        sampler.draw(problem, FEW, seed=rng)
        few = time.process_time() - start
    except InputError:
        return "too large"
    if few * READS / FEW > 60:
        return 1e3 * few * READS / FEW
    sampler = samplers.get(name)
    return 1e3 * best_of(lambda: sampler.draw(problem, READS, seed=rng))


def row(name: str) -> dict[str, Any]:
    """Return one backend's line."""
    out: dict[str, Any] = {"backend": name, "kind": samplers.get(name).kind}
    for g in (1.0, 2.0):
        found, betas, alone = errors(name, g)
        out[f"error, g={g:g}"] = float(np.mean(found))
        out[f"sweeps alone, g={g:g}"] = float(np.mean(alone)) if alone else ""
        out[f"beta, g={g:g}"] = float(np.mean(betas))
        out[f"each seed, g={g:g}"] = found
    return {**out, "ms, n=256": milliseconds(name)}


def main() -> None:
    options = arguments(__doc__)
    names = [name for name, b in samplers.available().items() if b.usable and not b.remote]
    rows = []
    with threadpool_limits(1):
        for name in names:
            if selected(options, name):
                rows.append(row(name))
                print(rows[-1], file=sys.stderr, flush=True)
    finish(f"Every local backend with its defaults, {READS} reads", rows, options.out)


if __name__ == "__main__":
    main()
