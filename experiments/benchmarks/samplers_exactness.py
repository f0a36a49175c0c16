"""Error of the local samplers in units of the floor: the same statistic on as many independent exact samples.

Every row lists each seed's ratio and the mean. Where n is too large to enumerate, parallel tempering is the
reference, its reads split in two: their difference says how far the reference itself can be trusted.

Parameters
----------
n, g, h, seed
    Spins, scale of couplings N(0, g^2 / n), field of every spin and seed of a problem.
problem, make
    The problem, or what makes one from a seed.
draws, second, rows, rng
    Reads, exact second moments, and the generator of exact samples.
seeds, sweeps, steps
    How many problems; sweeps of a read; steps in which weights grow.
num, reads, chains
    Reads of a sampler.
layout, fixed
    Layout of a problem, and whether its kernel may compute with integers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import samplers
from experiments.benchmarks.report import arguments, finish, selected
from samplers import Draws, Ising
from samplers.kernels.chains import Chains
from samplers.kernels.dispatch import Kernel
from samplers.strategies.exact import enumerate_energies, log_z_by_enumeration, states_of

N = 12


def spin_glass(n: int, g: float, seed: int, h: float = 0.0) -> Ising:
    """Return a Sherrington-Kirkpatrick problem with couplings N(0, g^2 / n)."""
    rng = np.random.default_rng(seed)
    return Ising(np.full(n, h), np.triu(g * rng.normal(size=(n, n)) / np.sqrt(n), 1))


def layouts(g: float, seed: int) -> dict[str, Ising]:
    """Return one problem of 12 spins for every kernel."""
    rng, dense = np.random.default_rng(seed), spin_glass(N, g, seed)
    half = g * rng.normal(size=(N // 2, N // 2)) / np.sqrt(N / 2)
    thin = np.triu(dense.dense * (rng.random((N, N)) < 0.4), 1)
    import scipy.sparse as sp

    return {
        "dense": dense,
        "bipartite": Ising.bipartite(np.zeros(N // 2), np.zeros(N // 2), half),
        "sparse": Ising(np.zeros(N), sp.csr_array(thin)),
    }


def tv_over_floor(draws: Draws, problem: Ising, rng: np.random.Generator) -> float:
    """Return the total variation to the exact distribution over that of as many exact samples (mean of 4 sets)."""
    log_p = -enumerate_energies(problem)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    index = (draws.states > 0) @ (1 << np.arange(problem.n))
    got = np.bincount(index, weights=draws.weights, minlength=len(p))
    floor = np.mean([np.abs(rng.multinomial(len(draws), p) / len(draws) - p).sum() for _ in range(4)])
    return float(np.abs(got - p).sum() / floor)


def moment_error(draws: Draws, second: np.ndarray) -> float:
    """Return the rms error of the second moments over that of as many independent reads."""
    pairs = np.triu_indices(len(second), 1)
    got, want = draws.second_moments()[pairs], second[pairs]
    return float(np.sqrt(np.square(got - want).mean() / ((1 - want**2).mean() / len(draws))))


def stationarity(g: float, layout: str, fixed: bool, seeds: int = 3, num: int = 400_000) -> list[float]:
    """Return TV/floor after 20 sweeps from exact samples."""
    ratios = []
    for seed in range(seeds):
        rng, problem = np.random.default_rng(seed), layouts(g, seed)[layout]
        chains = Chains.from_states(samplers.get("exact").draw(problem, num, seed=rng).states, rng)
        kernel = Kernel(problem)
        if not fixed:
            kernel._field_error = np.inf
        kernel.sweep(chains, 1.0, 20)
        ratios.append(tv_over_floor(Draws(chains.states()), problem, rng))
    return ratios


def two_clusters() -> Ising:
    """Return two ferromagnetic clusters of six, weakly bound, in a small field: four modes of unequal weight."""
    J = np.zeros((N, N))
    J[: N // 2, : N // 2] = J[N // 2 :, N // 2 :] = -0.5
    J[0, N // 2] = J[N // 2, 0] = 0.3
    np.fill_diagonal(J, 0.0)
    return Ising(np.full(N, -0.03), J)


def cold_start(make: Callable[[int], Ising], sweeps: int = 64, seeds: int = 10) -> list[float]:
    """Return TV/floor of population annealing from random states, 100,000 reads."""
    ratios = []
    for seed in range(seeds):
        problem = make(seed)
        draws = samplers.get("population-annealing", num_sweeps=sweeps).draw(problem, 100_000, seed=seed)
        ratios.append(tv_over_floor(draws, problem, np.random.default_rng(seed)))
    return ratios


def planted_rbm(seed: int) -> Ising:
    """Return a restricted Boltzmann machine of 196 visible and 8 hidden spins with planted patterns of amplitude .3."""
    rng = np.random.default_rng(seed)
    return Ising.bipartite(np.zeros(196), np.zeros(8), -0.3 * rng.choice([-1.0, 1.0], size=(196, 8)))


def rbm_hidden_moments(problem: Ising) -> np.ndarray:
    """Return the exact second moments of the visible spins, by summing over the 2^8 hidden states."""
    hidden = states_of(np.arange(2 ** problem.block.shape[1]), problem.block.shape[1]).astype(float)
    field = -(hidden @ problem.block.T)
    log_p = np.logaddexp(field, -field).sum(axis=1)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = np.tanh(field)
    second = mean.T @ (mean * p[:, None])
    np.fill_diagonal(second, 1.0)
    return second


def planted(seeds: int = 3, sweeps: int = 512, reads: int = 4096) -> dict[str, list[float]]:
    """Return the error of the visible second moments on the planted machine, annealed and at constant beta."""
    errors: dict[str, list[float]] = {"population-annealing": [], "gibbs": []}
    for seed in range(seeds):
        problem = planted_rbm(seed)
        second = rbm_hidden_moments(problem)
        for name, values in errors.items():
            draws = samplers.get(name, num_sweeps=sweeps).draw(problem, reads, seed=seed)
            values.append(moment_error(Draws(draws.states[:, :196], draws.log_weights), second))
    return errors


def reference(problem: Ising, num: int, sweeps: int = 600) -> tuple[np.ndarray, float]:
    """Return second moments by parallel tempering, and the error of one half of its reads against the other."""
    states = samplers.get("parallel-tempering", num_sweeps=sweeps).draw(problem, num, seed=99).states
    halves = Draws(states[::2]), Draws(states[1::2])
    return Draws(states).second_moments(), moment_error(halves[0], halves[1].second_moments()) / np.sqrt(2)


def large_glass(reads: int, seeds: int = 3, n: int = 256, sweeps: int = 300) -> dict[str, list[float]]:
    """Return the error of the second moments of a glass of 256 spins at g = 1.5: more reads show smaller errors."""
    errors: dict[str, list[float]] = {"population-annealing": [], "gibbs": [], "reference, half to half": []}
    for seed in range(seeds):
        problem = spin_glass(n, 1.5, seed)
        second, doubt = reference(problem, 8 * reads)
        for name in ("population-annealing", "gibbs"):
            draws = samplers.get(name, num_sweeps=sweeps).draw(problem, reads, seed=seed)
            errors[name].append(moment_error(draws, second))
        errors["reference, half to half"].append(doubt)
    return errors


def drifting(n: int, chains: int, seeds: int = 3, steps: int = 300) -> dict[str, list[float]]:
    """Return the error of the second moments after weights have grown to g = 1.5 in 300 steps, one sweep each.

    Plain chains (PCD-1) take our sweeps, Gibbs and Metropolis in turn; a second row takes Gibbs sweeps alone.
    """
    kept = {
        "persistent": samplers.get("persistent", num_sweeps=1),
        "persistent, never refreshed": samplers.get("persistent", num_sweeps=1, refresh=None),
    }
    kinds = (*kept, "plain PCD", "plain PCD, Gibbs sweeps alone", "reference, half to half")
    errors: dict[str, list[float]] = {kind: [] for kind in kinds}
    for seed in range(seeds):
        end, rng = spin_glass(n, 1.5, seed), np.random.default_rng(seed)
        second, doubt = reference(end, 8 * chains)
        pcd, gibbs = Chains.random(chains, n, rng), Chains.random(chains, n, rng)
        for k in range(1, steps + 1):
            problem = end.scaled(k / steps)
            # an integer starts the chains of another seed afresh
            draws = {
                name: sampler.draw(problem, chains, seed=seed if k == 1 else rng) for name, sampler in kept.items()
            }
            kernel = Kernel(problem)
            kernel.sweep(pcd, 1.0)
            gibbs.phase = 0
            kernel.sweep(gibbs, 1.0)
        for name in kept:
            errors[name].append(moment_error(draws[name], second))
        errors["plain PCD"].append(moment_error(Draws(pcd.states()), second))
        errors["plain PCD, Gibbs sweeps alone"].append(moment_error(Draws(gibbs.states()), second))
        errors["reference, half to half"].append(doubt)
    return errors


def log_z(seeds: int = 5) -> dict[str, list[float]]:
    """Return the errors of log Z at n = 18 with 512 chains and 500 sweeps."""
    errors: dict[str, list[float]] = {}
    for method in ("population-annealing", "ais", "reverse-ais"):
        for seed in range(seeds):
            problem = spin_glass(18, 1.5, seed, h=0.1)
            value, _ = samplers.log_partition(problem, seed=seed, method=method, num_chains=512, num_sweeps=500)
            errors.setdefault(method, []).append(abs(value - log_z_by_enumeration(problem)))
    return errors


def rows(wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return every measurement with the bound that is asked for."""
    out: list[dict[str, Any]] = []

    def add(name: str, values: list[float], asked: str) -> None:
        out.append({"what": name, "mean": float(np.mean(values)), "asked": asked, "each seed": values})
        print(f"{name}: {np.mean(values):.3g}", file=sys.stderr, flush=True)

    if wanted("stationarity"):
        for g, limit in ((1.0, "<= 1.05"), (2.0, "<= 1.2")):
            for layout, fixed in (("dense", True), ("dense", False), ("bipartite", True), ("bipartite", False), ("sparse", False)):  # fmt: skip
                kind = "int8" if fixed else "float32"
                add(f"stationarity g={g:g} {layout} {kind}", stationarity(g, layout, fixed), limit)
    if wanted("cold"):
        add("cold start SK g=2, 64 sweeps", cold_start(lambda s: spin_glass(N, 2.0, s)), "<= 1.15")
        add("cold start SK g=3, 64 sweeps", cold_start(lambda s: spin_glass(N, 3.0, s)), "<= 1.15")
        add("cold start two clusters, 64 sweeps", cold_start(lambda s: two_clusters()), "<= 1.15")
    measures: list[tuple[str, Callable[[], dict[str, list[float]]], dict[str, str]]] = [
        ("planted RBM 196 x 8, 512 sweeps", planted, {"population-annealing": "<= 1.3"}),
        ("SK n=256 g=1.5, 300 sweeps, 512 reads", lambda: large_glass(512), {"population-annealing": "<= 1.3"}),
        ("SK n=256 g=1.5, 300 sweeps, 4,096 reads", lambda: large_glass(4096), {"population-annealing": "<= 1.3"}),
        ("drift to g=1.5 in 300 steps, n=256, 1,024 chains", lambda: drifting(256, 1024), {"persistent": "<= 1.8 and <= .65 x PCD"}),
        ("drift to g=1.5 in 300 steps, n=256, 4,096 chains", lambda: drifting(256, 4096), {"persistent": "<= 1.8 and <= .65 x PCD"}),
        ("drift to g=1.5 in 300 steps, n=64, 512 chains", lambda: drifting(64, 512), {"persistent": "<= 1.8"}),
        ("log Z n=18, absolute error", log_z, {"population-annealing": "<= .03", "ais": "<= .03"}),
    ]  # fmt: skip
    for name, measure, asked in measures:
        if wanted(name):
            for which, values in measure().items():
                add(f"{name}: {which}", values, asked.get(which, ""))
    return out


def main() -> None:
    options = arguments(__doc__)
    measured = rows(partial(selected, options))
    finish("Sampling error over the floor of independent exact samples", measured, options.out)


if __name__ == "__main__":
    main()
