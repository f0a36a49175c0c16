"""Training error by sampler: Boltzmann machines of 12 and 14 spins against exact-gradient training, and a hard one.

A teacher of strong couplings gives exact data moments; a student climbs the likelihood with the sampler's reads as its
negative phase. Excess KL is KL(teacher || student), which exact gradients bring to nearly 0. `iid` draws the negative
phase from the enumerated distribution: what no sampler can beat, except by its luck.

Parameters
----------
n, g, seed, seeds
    Spins, scale of couplings and seed of a teacher; how many teachers.
teacher, sampler
    Whose moments are learned, and whose reads are the negative phase.
negative
    Fields and couplings to moments: the negative phase.
steps, rate
    Steps of gradient ascent, and their size at the start.
chains, sweeps
    Reads a step, and sweeps of kept chains.
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
from samplers.strategies.exact import states_of

#: Every local backend that samples, deep enough for g = 1.5; machines are finished by their correction sweeps.
LOCAL = {
    "exact": "exact",
    "gibbs": "gibbs",
    "persistent": "persistent",
    "population-annealing": "population-annealing?num_sweeps=24",
    "parallel-tempering": "parallel-tempering?num_sweeps=24",
    "simulated-annealing": "simulated-annealing?num_sweeps=100",
    "coherent-ising, 100 correction sweeps": "coherent-ising?correction_sweeps=100",
    "simulated-bifurcation, 100 correction sweeps": "simulated-bifurcation?correction_sweeps=100",
}
Moments = tuple[np.ndarray, np.ndarray]


class Teacher:
    """A distribution over n spins, enumerated."""

    def __init__(self, n: int, g: float, seed: int):
        rng = np.random.default_rng(seed)
        self.n = n
        self.states = states_of(np.arange(2**n), n).astype(np.float64)
        self.p = self.probabilities(0.2 * rng.normal(size=n), _symmetric(g * rng.normal(size=(n, n)) / np.sqrt(n)))
        self.moments = self.moments_of(self.p)

    def probabilities(self, h: np.ndarray, J: np.ndarray) -> np.ndarray:
        """Return the exact distribution of fields and couplings over all states."""
        logits = -(self.states @ h) - 0.5 * np.einsum("si,si->s", self.states @ J, self.states)
        p = np.exp(logits - logits.max())
        return p / p.sum()

    def moments_of(self, p: np.ndarray) -> Moments:
        """Return means and second moments of a distribution over all states."""
        return p @ self.states, self.states.T @ (self.states * p[:, None])

    def train(self, negative: Callable[[np.ndarray, np.ndarray], Moments], steps: int, rate: float) -> float:
        """Return the excess KL after gradient ascent with a decaying rate."""
        h, J = np.zeros(self.n), np.zeros((self.n, self.n))
        for k in range(steps):
            mean, second = negative(h, J)
            step = rate * (1 - k / steps) ** 0.5
            h = h + step * (mean - self.moments[0])
            J = _symmetric(J + step * (second - self.moments[1]))
        return float(self.p @ np.log(self.p / self.probabilities(h, J)))

    def exact(self, h: np.ndarray, J: np.ndarray) -> Moments:
        """Return the exact negative phase."""
        return self.moments_of(self.probabilities(h, J))


def _symmetric(J: np.ndarray) -> np.ndarray:
    upper = np.triu(J, 1)
    return upper + upper.T


def iid(teacher: Teacher, chains: int, seed: int) -> Callable[[np.ndarray, np.ndarray], Moments]:
    """Return a negative phase of independent exact reads."""
    rng = np.random.default_rng(seed)

    def negative(h: np.ndarray, J: np.ndarray) -> Moments:
        return teacher.moments_of(rng.multinomial(chains, teacher.probabilities(h, J)) / chains)

    return negative


def sampled(sampler: str | samplers.Sampler, chains: int, seed: int) -> Callable[[np.ndarray, np.ndarray], Moments]:
    """Return a negative phase of the reads of a sampler, given by its name or as it is."""
    rng = np.random.default_rng(seed)
    made = samplers.get(sampler) if isinstance(sampler, str) else sampler

    def negative(h: np.ndarray, J: np.ndarray) -> Moments:
        draws = made.draw(Ising(h, J), chains, seed=rng)
        return draws.mean(), draws.second_moments()

    return negative


def plain_chains(n: int, chains: int, sweeps: int, seed: int) -> Callable[[np.ndarray, np.ndarray], Moments]:
    """Return the negative phase of PCD: chains kept without weights."""
    kept = Chains.random(chains, n, np.random.default_rng(seed))

    def negative(h: np.ndarray, J: np.ndarray) -> Moments:
        Kernel(Ising(h, J)).sweep(kept, 1.0, sweeps)
        draws = Draws(kept.states())
        return draws.mean(), draws.second_moments()

    return negative


def hard(steps: int, rate: float, n: int = 14, g: float = 3.0, seeds: int = 5, chains: int = 512) -> dict[str, list[float]]:  # fmt: skip
    """Return the excess KL of a training towards a teacher whose modes are far apart."""
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        teacher = Teacher(n, g, seed)
        for name, negative in (
            ("exact gradient", teacher.exact),
            ("iid", iid(teacher, chains, seed)),
            ("persistent, 1 sweep", sampled("persistent?num_sweeps=1", chains, seed)),
            ("persistent, 2 sweeps (the default)", sampled("persistent", chains, seed)),
            ("persistent, 2 sweeps, never refreshed", sampled("persistent?refresh=null", chains, seed)),
            ("PCD-1", plain_chains(n, chains, 1, seed)),
            ("PCD-5", plain_chains(n, chains, 5, seed)),
        ):
            found.setdefault(name, []).append(teacher.train(negative, steps, rate))
    return found


def every_sampler(n: int, seeds: int = 3, g: float = 1.5, steps: int = 150, chains: int = 1024) -> dict[str, list[float]]:  # fmt: skip
    """Return the excess KL by every local sampler, and by exact gradients."""
    found: dict[str, list[float]] = {}
    for seed in range(seeds):
        teacher = Teacher(n, g, seed)
        found.setdefault("exact gradient", []).append(teacher.train(teacher.exact, steps, 0.3))
        for name, spec in LOCAL.items():
            found.setdefault(name, []).append(teacher.train(sampled(spec, chains, seed), steps, 0.3))
    return found


def rows(wanted: Callable[[str], bool]) -> list[dict[str, Any]]:
    """Return every measurement: the mean, its ratio to the row that it is measured by, and each seed."""
    out: list[dict[str, Any]] = []

    def add(title: str, found: dict[str, list[float]], by: str, asked: dict[str, str], rest: str) -> None:
        for name, values in found.items():
            ratio = float(np.mean(values) / np.mean(found[by]))
            row = {"what": f"{title}: {name}", "excess KL": float(np.mean(values)), f"over {by}": ratio}
            out.append({**row, "asked": asked.get(name, rest), "each seed": values})
            print(f"{title}: {name}: {np.mean(values):.3g} ({ratio:.2f})", file=sys.stderr, flush=True)

    if wanted("hard"):
        asked = {"persistent, 1 sweep": "<= 2", "persistent, 2 sweeps (the default)": "<= 2"}
        add("hard training, 14 spins, g = 3, 3,000 steps at .05", hard(3000, 0.05), "iid", asked, "")
        add("the same in leaps: 600 steps at .2", hard(600, 0.2), "iid", {}, "")
    for n in (12, 14):
        if wanted(f"{n} spins"):
            add(f"{n} spins, g = 1.5, 150 steps", every_sampler(n), "exact gradient", {"exact gradient": ""}, "<= 3")
    return out


def main() -> None:
    options = arguments(__doc__)
    measured = rows(partial(selected, options))
    finish("Excess KL of trained Boltzmann machines", measured, options.out)


if __name__ == "__main__":
    main()
