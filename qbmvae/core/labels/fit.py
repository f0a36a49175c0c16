r"""Fits the machine over bits and labels by maximum likelihood, encoder and decoder left alone.

The likelihood of cells with codes q and soft labels T, :math:`E[\sum_y T_y \log p(z, y)]`, splits into the shares of the
labels and the bits given each label, whose log Z the chains with *clamped* labels feel: equally many a label, reweighted
to the shares. Free label units would switch too rarely to measure a share, so c follows from log Z of each label.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

import samplers
from qbmvae.core.labels.machine import LabelMachine
from qbmvae.core.priors.base import DiscretePrior
from qbmvae.core.priors.boltzmann import BernoulliPrior, BoltzmannPrior
from qbmvae.core.priors.log_partition import QUICK_SWEEPS
from samplers.partition_function import log_partition

#: Fewest chains a label.
CHAINS = 64
#: Cells of a step where a prior's expected energy needs draws of the codes.
CELLS_A_STEP = 1024


def fit_labels(
    machine: LabelMachine,
    parameters: Tensor,
    targets: Tensor,
    *,
    sampler: Any = "persistent",
    steps: int = 1000,
    learning_rate: float = 0.01,
    num_chains: int = 1024,
    penalty: float = 1e-4,
    seed: int = 0,
) -> None:
    """Fit a machine, in place, and measure log Z of each combination of labels.

    Parameters
    ----------
    machine
        The machine; its parameters that need a gradient are fitted.
    parameters
        Bit logits of the cells, `(n_cells, n_latent)`.
    targets
        Probabilities of the combinations for each cell, `(n_cells, n_combinations)`, rows summing to 1.
    sampler
        Of the negative phase: its chains of all labels share the couplings, see `samplers.Sampler.draw_batch`.
    steps, learning_rate
        Of Adam; the rate falls to 0 over the second half.
    num_chains
        Reads a step, of all labels together; at least 64 a label.
    penalty
        Weight of the squared couplings, of bits and labels.
    seed
        Of the chains.
    """
    shares = targets.double().mean(0)
    machine.log_shares.copy_(shares.log())
    present = torch.nonzero(shares > 0).flatten()
    fitted = [p for p in machine.parameters() if p.requires_grad]
    positive = _Positive(machine, parameters, targets, seed)
    negative = _Negative(machine, present, shares, sampler, num_chains, seed)
    optimiser = torch.optim.Adam(fitted)
    prior = machine.prior
    coupled = [machine.U, *([prior.W] if isinstance(prior, BoltzmannPrior) and prior.W.requires_grad else [])]
    for step in range(steps):
        loss = negative() - positive() + penalty * sum((p.square().sum() for p in coupled), torch.zeros(()))
        for parameter, gradient in zip(fitted, torch.autograd.grad(loss, fitted), strict=True):
            own = isinstance(prior, BoltzmannPrior) and parameter is prior.W
            parameter.grad = prior.project(gradient) if own else gradient  # type: ignore[union-attr, operator]
        optimiser.param_groups[0]["lr"] = learning_rate * min(1.0, 2 * (1 - step / steps))
        optimiser.step()
    for parameter in fitted:
        parameter.grad = None
    measure(machine, seed)


@torch.no_grad()
def measure(machine: LabelMachine, seed: int = 0) -> None:
    """Measure log Z of the bits given each combination that occurs, with its standard error."""
    machine.log_z.zero_()
    machine.log_z_error.zero_()
    if isinstance(machine.prior, BernoulliPrior):
        fields = (machine.prior.bias + machine.fields()).double()
        machine.log_z.copy_(torch.nn.functional.softplus(fields).sum(-1))
        return
    for k in torch.nonzero(machine.log_shares.isfinite()).flatten().tolist():
        value, error = log_partition(machine.problem(k), seed=seed + k, num_sweeps=4 * QUICK_SWEEPS)
        machine.log_z[k], machine.log_z_error[k] = value, error


class _Positive:
    """A scalar with the gradient of E[-energy + the labels' push] over the cells."""

    def __init__(self, machine: LabelMachine, parameters: Tensor, targets: Tensor, seed: int):
        self.machine, prior = machine, machine.prior
        q = torch.sigmoid(parameters.double())
        targets = targets.double()
        # E[T_y q] a label of each group: with the shares, all that the labels say
        self.pushed = (machine.design.double().T @ (targets.T @ q) / len(q)).to(machine.U)
        self.moments: tuple[Tensor, Tensor] | None = None
        self.q, self.generator = q.to(machine.U), torch.Generator().manual_seed(seed)
        if isinstance(prior, BoltzmannPrior | BernoulliPrior):
            self.moments = q.mean(0).to(prior.bias), (q.T @ q / len(q)).to(prior.bias)

    def __call__(self) -> Tensor:
        prior, labels = self.machine.prior, (self.machine.U * self.pushed).sum()
        if self.moments is None:
            rows = torch.randint(len(self.q), (CELLS_A_STEP,), generator=self.generator)
            q = self.q[rows.to(self.q.device)]
            z = torch.bernoulli(q.cpu(), generator=self.generator).to(q)
            return labels - prior.expected_energy(q, z).mean()
        first, second = self.moments
        pairs = 0.5 * (prior.W * second).sum() if isinstance(prior, BoltzmannPrior) else 0.0
        return labels + prior.bias @ first + pairs  # type: ignore[operator]


class _Negative:
    """A scalar with the gradient of the mean log Z of the labels, weighted by their shares."""

    def __init__(
        self, machine: LabelMachine, present: Tensor, shares: Tensor, sampler: Any, num_chains: int, seed: int
    ):
        self.machine, self.present = machine, present
        self.shares = shares[present].to(machine.U)
        self.sampler, self.num_reads = samplers.get(sampler), max(CHAINS, num_chains // len(present))
        self.rng, self.started = np.random.default_rng(seed), False

    def __call__(self) -> Tensor:
        machine, prior = self.machine, self.machine.prior
        if isinstance(prior, BernoulliPrior):
            fields = prior.bias + machine.fields()[self.present]
            return self.shares @ torch.nn.functional.softplus(fields).sum(-1)
        states, weights = self._reads()
        z = (states[:, :, : prior.n_latent].to(machine.U) + 1) / 2
        weights = weights.to(machine.U) * self.shares[:, None]
        fields = machine.fields()[self.present].unsqueeze(1)
        return _surrogate(prior, z, weights, fields, states)

    @torch.no_grad()
    def _reads(self) -> tuple[Tensor, Tensor]:
        """Return spins, `(n_labels, n_reads, n_spins)`, and weights that sum to 1 in each label, `(n_labels, n_reads)`."""
        prior = self.machine.prior
        problem, pushed = prior.problem(), self.machine.fields()[self.present].double().cpu().numpy()
        fields = np.repeat(problem.h[None], len(pushed), axis=0)
        fields[:, : prior.n_latent] -= pushed / 2
        # an integer starts the chains of a sampler that keeps them: none are inherited
        seed = self.rng if self.started else int(self.rng.integers(2**31))
        draws = self.sampler.draw_batch(problem, fields, self.num_reads, seed=seed)
        self.started = True
        return torch.from_numpy(draws.states), torch.from_numpy(draws.weights)


def _surrogate(prior: DiscretePrior, z: Tensor, weights: Tensor, fields: Tensor, states: Tensor) -> Tensor:
    """Return a scalar with the gradient of the weighted log Z, by Rao-Blackwell moments where the energy is quadratic.

    Parameters
    ----------
    prior
        The energy of the bits.
    z, states
        Bits, and all spins, of the reads of each label, `(n_labels, n_reads, ...)`.
    weights
        Weights, `(n_labels, n_reads)`, summing to 1 in all.
    fields
        What each label adds to the bits' fields, `(n_labels, 1, n_latent)`.
    """
    if isinstance(prior, BoltzmannPrior):
        with torch.no_grad():
            mean = torch.sigmoid(z @ prior.W + (prior.bias + fields)) * weights.unsqueeze(-1)
            second = z.flatten(0, 1).T @ mean.flatten(0, 1)
        return (fields * mean).sum() + prior.bias @ mean.sum((0, 1)) + 0.5 * (prior.W * second).sum()
    labels = (weights.unsqueeze(-1) * fields * z).sum()
    return labels + prior.negative_energy_moments(states.flatten(0, 1).to(z), weights.flatten())
