"""Maximum likelihood of a conditional machine: exact positive phase, persistent chains for every condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields as names_of

import numpy as np

from qbmvae.perturbation.boltzmann import gibbs
from qbmvae.perturbation.boltzmann.machine import ConditionalMachine, Gradient, Moments, positive_moments, start
from samplers.draws import systematic

# share of the steps over which parameters are averaged at the end, the learning rate falling
AVERAGED = 0.25
# temperatures of an annealing, and steps between two
ANNEALING, REFRESH = 40, 100


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
    """Weighted persistent chains, as many for every condition, that follow the machine as it learns.

    When the machine changes, a chain's weight is multiplied by the change of its unnormalised probability, so that modes
    keep their right shares though no chain crosses between them (Carbone et al. 2023, arXiv 2305.19414); chains of a
    condition are resampled where less than half of them stay effective. `anneal` starts them anew from beta 0.

    Parameters
    ----------
    n_conditions, per_condition
        Conditions, and chains of each.
    n_bits
        Of the machine.
    seed
        Of the chains.
    """

    def __init__(self, n_conditions: int, per_condition: int, n_bits: int, seed: int):
        self.rng = np.random.default_rng(seed)
        self.per_condition = per_condition
        self.z = np.zeros((n_conditions, per_condition, n_bits), np.uint8)
        self.log_weight = np.zeros((n_conditions, per_condition))
        self.score = np.zeros((n_conditions, per_condition))

    def anneal(self, fields: np.ndarray, couplings: np.ndarray, index: np.ndarray) -> None:
        """Draw the chains of some conditions by population annealing.

        Parameters
        ----------
        fields, couplings, index
            As in `move`.
        """
        shape = self.z[index].shape
        self.z[index] = self.rng.random(shape) < 0.5
        self.log_weight[index], self.score[index] = 0.0, 0.0
        for beta in np.linspace(0, 1, ANNEALING + 1)[1:]:
            self.move(beta * fields, beta * couplings, 1, index)

    def move(self, fields: np.ndarray, couplings: np.ndarray, n_sweeps: int, index: np.ndarray) -> None:
        """Reweight the chains of some conditions to these parameters, resample where needed, and sweep.

        Parameters
        ----------
        fields
            Of these conditions, `(len(index), n)`.
        couplings
            `(n, n)`.
        n_sweeps
            Gibbs sweeps.
        index
            Positions of the conditions.
        """
        z = self.z[index]
        log_weight = self.log_weight[index] + _scores(z, fields, couplings) - self.score[index]
        log_weight -= log_weight.max(1, keepdims=True)
        weight = np.exp(log_weight)
        weight /= weight.sum(1, keepdims=True)
        for k in np.flatnonzero(1 / np.square(weight).sum(1) < 0.5 * self.per_condition):
            z[k] = z[k, systematic(weight[k], self.per_condition, self.rng)]
            log_weight[k] = 0.0
        rows = z.reshape(-1, z.shape[2])
        gibbs.sweep(rows, fields, np.repeat(np.arange(len(index)), self.per_condition), couplings, n_sweeps, self.rng)
        z = rows.reshape(z.shape)
        self.z[index], self.log_weight[index], self.score[index] = z, log_weight, _scores(z, fields, couplings)

    def moments(self, fields: np.ndarray, couplings: np.ndarray, weights: np.ndarray, index: np.ndarray) -> Moments:
        """Return the chains' moments, each bit once replaced by its conditional mean.

        Parameters
        ----------
        fields, couplings, index
            As in `move`.
        weights
            Of these conditions.
        """
        z = self.z[index].reshape(-1, self.z.shape[2])
        owner = np.repeat(np.arange(len(index)), self.per_condition)
        mu = gibbs.conditional_means(z, fields, owner, couplings)
        share = np.exp(self.log_weight[index])
        share /= share.sum(1, keepdims=True)
        first = np.einsum("kr,kri->ki", share, mu.reshape(len(index), self.per_condition, -1))
        each = (weights[:, None] * share).ravel().astype(np.float32)
        return Moments(first, ((z.T * each) @ mu).astype(np.float64))


def _scores(z: np.ndarray, fields: np.ndarray, couplings: np.ndarray) -> np.ndarray:
    """Return b.z + z'Wz/2 of chains `(n_conditions, n_chains, n)`."""
    bits = z.astype(np.float32)
    pushed = bits @ (0.5 * couplings).astype(np.float32) + fields[:, None].astype(np.float32)
    return (pushed * bits).sum(2, dtype=np.float64)


def train(
    q: np.ndarray,
    condition: np.ndarray,
    features: np.ndarray,
    *,
    rank: int = 16,
    steps: int = 2000,
    learning_rate: float = 0.02,
    n_chains: int = 256,
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
    chains, adam = Chains(n_conditions, n_chains, q.shape[1], seed), Adam(machine)
    everything = np.arange(n_conditions)
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
        if step % REFRESH == 0:
            chains.anneal(machine.fields(features), machine.couplings, everything)
        fields = machine.fields(features[index])
        chains.move(fields, machine.couplings, n_sweeps, index)
        negative = chains.moments(fields, machine.couplings, share, index)
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
