"""Maximum likelihood of a conditional machine: exact positive phase, persistent chains for every condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields as names_of

import numpy as np

from qbmvae.perturbation.boltzmann import gibbs
from qbmvae.perturbation.boltzmann.machine import ConditionalMachine, Gradient, Moments, positive_moments, start

# share of the steps over which parameters are averaged at the end, the learning rate falling
AVERAGED = 0.25


class Adam:
    """Adam that climbs, on named arrays in place (Kingma and Ba, 2015)."""

    def __init__(self, machine: ConditionalMachine):
        self.arrays = {field.name: getattr(machine, field.name) for field in names_of(machine)}
        self.first = {name: np.zeros_like(a) for name, a in self.arrays.items()}
        self.second = {name: np.zeros_like(a) for name, a in self.arrays.items()}
        self.step = 0

    def climb(self, gradient: Gradient, rate: float) -> None:
        """Move along the gradient."""
        self.step += 1
        for name, g in gradient._asdict().items():
            self.first[name] += 0.1 * (g - self.first[name])
            self.second[name] += 0.01 * (g * g - self.second[name])
            slope = self.first[name] / (1 - 0.9**self.step)
            scale = np.sqrt(self.second[name] / (1 - 0.99**self.step)) + 1e-8
            self.arrays[name] += rate * slope / scale


class Chains:
    """Persistent chains, as many for every condition."""

    def __init__(self, q: np.ndarray, condition: np.ndarray, n_conditions: int, per_condition: int, seed: int):
        self.rng = np.random.default_rng(seed)
        # chains start at the codes of cells of their condition
        order = np.argsort(condition, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(condition, minlength=n_conditions))[:-1])
        rows = np.concatenate([self.rng.choice(part, per_condition) for part in parts])
        self.z = (self.rng.random((len(rows), q.shape[1])) < q[rows]).astype(np.uint8)
        self.owner = np.repeat(np.arange(n_conditions), per_condition)
        self.per_condition = per_condition

    def moments(
        self, machine: ConditionalMachine, fields: np.ndarray, weights: np.ndarray, sweeps: int, index: np.ndarray
    ) -> Moments:
        """Move the chains of the conditions in `index`, and return their moments, each bit once its conditional mean."""
        rows = (index[:, None] * self.per_condition + np.arange(self.per_condition)).ravel()
        z, owner = self.z[rows], np.repeat(np.arange(len(index)), self.per_condition)
        gibbs.sweep(z, fields, owner, machine.couplings, sweeps, self.rng)
        self.z[rows] = z
        mu = gibbs.conditional_means(z, fields, owner, machine.couplings)
        first = mu.reshape(len(index), self.per_condition, -1).mean(1).astype(np.float64)
        each = (weights / self.per_condition)[owner].astype(np.float32)
        second = (z.T.astype(np.float32) * each) @ mu
        return Moments(first, second.astype(np.float64))


def train(
    q: np.ndarray,
    condition: np.ndarray,
    features: np.ndarray,
    *,
    rank: int = 16,
    steps: int = 2000,
    learning_rate: float = 0.05,
    n_chains: int = 64,
    n_sweeps: int = 2,
    conditions_a_step: int = 64,
    shift_scale: float = 1.0,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
) -> ConditionalMachine:
    """Return the machine of the largest posterior density given encoded cells.

    Parameters
    ----------
    q
        Bit probabilities of the cells, `(n_cells, n)`.
    condition
        Each cell's row of `features`, `(n_cells,)`; every row has cells.
    features
        `(n_conditions, n_features)`; zeros for the controls.
    rank
        Of A.
    steps, learning_rate
        Of Adam; the rate falls over the last quarter, whose parameters are averaged.
    n_chains, n_sweeps
        Chains of each condition, and sweeps a step.
    conditions_a_step
        Conditions in a minibatch; each step draws as many at random where there are more.
    shift_scale
        Standard deviation, in nats, of the normal prior on a condition's shift of a field: fields that a few cells
        cannot tell from the controls' are shrunk.
    seed
        Of factors, chains and minibatches.
    report
        Called every hundred steps with the step and the largest error of a first moment.
    """
    n_conditions = len(features)
    features = np.asarray(features, dtype=np.float64)
    count = np.bincount(condition, minlength=n_conditions)
    # a compromise: by cells the controls drown the perturbations, evenly a handful of cells would shape the couplings
    weights = np.sqrt(count) / np.sqrt(count).sum()
    shrinkage = 1 / (np.maximum(count, 1) * shift_scale**2)
    machine = start(q.shape[1], features.shape[1], rank, seed)
    mean = np.clip(np.average(positive_moments(q, condition, weights).first, axis=0, weights=weights), 1e-3, 1 - 1e-3)
    machine.bias += np.log(mean / (1 - mean))
    chains, adam = Chains(q, condition, n_conditions, n_chains, seed), Adam(machine)
    first = positive_moments(q, condition, weights).first
    averaged = {name: np.zeros_like(a) for name, a in adam.arrays.items()}
    last = max(1, round(AVERAGED * steps))
    whole = positive_moments(q, condition, weights) if n_conditions <= conditions_a_step else None
    for step, index in enumerate(_minibatches(n_conditions, conditions_a_step, steps, seed)):
        share = weights[index] / weights[index].sum()
        if whole is None:
            members = np.isin(condition, index)
            positive = positive_moments(q[members], np.searchsorted(index, condition[members]), share)
        else:
            positive = whole
        fields = machine.fields(features[index])
        negative = chains.moments(machine, fields, share, n_sweeps, index)
        gradient = machine.gradient(positive, negative, features[index], share, shrinkage[index])
        left = steps - step
        adam.climb(gradient, learning_rate * min(1.0, 0.1 + 0.9 * left / last))
        if left <= last:
            for name, array in adam.arrays.items():
                averaged[name] += array / last
        if report and (step + 1) % 100 == 0:
            report(step + 1, float(np.abs(first[index] - negative.first).max()))
    return ConditionalMachine(**averaged)


def _minibatches(n: int, size: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng([seed, 1])
    for _ in range(steps):
        yield np.arange(n) if n <= size else np.sort(rng.choice(n, size, replace=False))
