"""Fits the prior alone to the bits that a trained encoder gives to the cells; the held-out KL decides where it stops."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from qbmvae.core.priors.base import DiscretePrior, entropy
from qbmvae.core.priors.boltzmann import BoltzmannPrior
from qbmvae.core.priors.log_partition import log_partition
from qbmvae.core.training.negative_phase import NegativePhase
from qbmvae.core.vae import VAE
from samplers.errors import InputError
from samplers.sampler import Sampler

#: Draws of the code over which a KL without a closed form is averaged, and cells of a step of such a fit.
DRAWS, CELLS_A_STEP = 8, 1024
#: A check worse than the best by more than twice the error of log Z goes back to the best with the rate divided by this;
#: so many of them end the fit.
BACKOFF, PATIENCE = 4.0, 3


@dataclass(frozen=True)
class Refinement:
    """What the fit did; KLs of held-out cells in nats a cell, log Z included.

    Attributes
    ----------
    kl_before, kl_after
        Mean KL(q || p) of the held-out cells.
    kl_before_error, kl_after_error
        Standard errors: of the mean over cells and of log Z.
    improvement, improvement_error
        `kl_before - kl_after`, paired by cells, and its standard error.
    step
        The step whose prior is kept; 0 where none was better than the prior that was there.
    """

    kl_before: float
    kl_after: float
    kl_before_error: float
    kl_after_error: float
    improvement: float
    improvement_error: float
    step: int


def refine(
    vae: VAE,
    training: Tensor,
    held_out: Tensor,
    sampler: Sampler,
    *,
    steps: int = 1500,
    learning_rate: float = 0.05,
    num_chains: int = 1024,
    num_checks: int = 6,
    seed: int = 0,
) -> Refinement:
    """Fit the parameters of `vae.prior`, in place, by maximum likelihood of the codes; encoder and decoder stay.

    For a quadratic energy the fit needs the codes' first two moments only, and is convex. The rate falls to 0 over the
    second half of the steps. The prior with the smallest held-out KL is kept, the one that was there included.

    Parameters
    ----------
    vae
        The model.
    training, held_out
        Posterior parameters (`VAE.encode`) of cells to fit and of cells to check with, `(n_cells, ...)`.
    sampler
        Of the negative phase, at beta 1; unused by priors with a closed-form log Z.
    steps, learning_rate
        Of Adam.
    num_chains
        Reads a step.
    num_checks
        How often the held-out KL is measured.
    seed
        Of chains, draws of the codes and log Z.

    Raises
    ------
    InputError
        Where there are no cells to fit or to check with.
    """
    if not len(training) or not len(held_out):
        raise InputError(f"a prior is fitted to cells: {len(training)} to fit, {len(held_out)} held out")
    prior = vae.prior
    vae.eval()
    parameters = [p for p in prior.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(seed)
    device = next(iter(vae.parameters())).device
    training, held_out = training.detach().to(device), held_out.detach().to(device)
    check = _HeldOut(vae, held_out, seed)
    before = best = check.measure()
    if not parameters:
        return _summary(before, before, 0)
    gradients = _moment_gradients if isinstance(prior, BoltzmannPrior) and prior.needs_samples else _sampled_gradients
    negative = NegativePhase(sampler, num_chains, seed) if prior.needs_samples else None
    kept, kept_step, bad = copy.deepcopy(prior.state_dict()), 0, 0
    optimiser = _adam(parameters)
    for step, gradient in enumerate(gradients(vae, training, negative, generator, steps), start=1):
        for parameter, value in zip(parameters, gradient, strict=True):
            parameter.grad = value
        optimiser.param_groups[0]["lr"] = learning_rate / BACKOFF**bad * min(1.0, 2 * (1 - (step - 1) / steps))
        optimiser.step()
        if step * num_checks // steps == (step - 1) * num_checks // steps:
            continue
        now = check.measure()
        if now.mean < best.mean:
            best, kept, kept_step = now, copy.deepcopy(prior.state_dict()), step
        elif now.mean > best.mean + 2 * (now.log_z_error + best.log_z_error):
            bad += 1
            if bad == PATIENCE:
                break
            prior.load_state_dict(kept)
            optimiser = _adam(parameters)
    for parameter in parameters:
        parameter.grad = None
    prior.load_state_dict(kept)
    return _summary(before, best, kept_step)


def _adam(parameters: list[torch.nn.Parameter]) -> torch.optim.Adam:
    return torch.optim.Adam(parameters, betas=(0.9, 0.99))


@dataclass(frozen=True)
class _Measured:
    """KL of each held-out cell, log Z included, and the standard error of log Z."""

    cells: Tensor
    log_z_error: float

    @property
    def mean(self) -> float:
        return float(self.cells.mean())


def _summary(before: _Measured, after: _Measured, step: int) -> Refinement:
    n = len(before.cells)

    def error(cells: Tensor, *log_z_errors: float) -> float:
        spread = float(cells.var()) / n if n > 1 else 0.0
        return (spread + sum(e**2 for e in log_z_errors)) ** 0.5

    change = before.cells - after.cells
    return Refinement(
        before.mean,
        after.mean,
        error(before.cells, before.log_z_error),
        error(after.cells, after.log_z_error),
        float(change.mean()),
        error(change, before.log_z_error, after.log_z_error) if step else 0.0,
        step,
    )


class _HeldOut:
    """The KL of held-out cells, at the same draws of their codes each time."""

    def __init__(self, vae: VAE, parameters: Tensor, seed: int):
        self.vae, self.parameters, self.seed = vae, parameters, seed

    @torch.no_grad()
    def measure(self) -> _Measured:
        log_z, error = log_partition(self.vae.prior, self.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            cells = mean_kl(self.vae, self.parameters)
        return _Measured(cells.double().cpu() + log_z, error)


def mean_kl(vae: VAE, parameters: Tensor, draws: int = DRAWS) -> Tensor:
    """Return KL(q || p) of each cell without log Z, averaged over draws of the code where it is not exact.

    Parameters
    ----------
    vae
        The model.
    parameters
        Of the posterior, `(n_cells, ...)`.
    draws
        How many draws of each cell's code.
    """
    prior = vae.prior
    if isinstance(prior, DiscretePrior):
        q = torch.sigmoid(parameters)
        if prior.exact_expectation:
            return prior.expected_energy(q, q) - entropy(parameters)
        energies = [prior.energy(torch.bernoulli(q)) for _ in range(draws)]
        return torch.stack(energies).mean(0) - entropy(parameters)
    posterior = vae.normal(parameters)
    return torch.stack([prior.kl(posterior, posterior.sample()) for _ in range(draws)]).mean(0)


def _moment_gradients(
    vae: VAE, training: Tensor, negative: NegativePhase | None, generator: torch.Generator, steps: int
) -> Iterator[list[Tensor]]:
    """Yield gradients of a quadratic machine: moments of its reads less those of the codes."""
    prior: Any = vae.prior
    q = torch.sigmoid(training).double()
    first = q.mean(0).to(prior.bias)
    second = (q.T @ q / len(q)).to(prior.bias)
    assert negative is not None
    for _ in range(steps):
        own_first, own_second = prior.moments(*negative.reads(prior))
        gradient = [own_first - first]
        if prior.W.requires_grad:
            gradient.append(prior.project(0.5 * (own_second - second)))
        yield gradient


def _sampled_gradients(
    vae: VAE, training: Tensor, negative: NegativePhase | None, generator: torch.Generator, steps: int
) -> Iterator[list[Tensor]]:
    """Yield gradients at draws of the codes of some cells: any prior."""
    prior = vae.prior
    parameters = [p for p in prior.parameters() if p.requires_grad]
    for _ in range(steps):
        rows = torch.randint(len(training), (CELLS_A_STEP,), generator=generator)
        code = training[rows.to(training.device)]
        if isinstance(prior, DiscretePrior):
            q = torch.sigmoid(code)
            z = torch.bernoulli(q.cpu(), generator=generator).to(q)
            log_z = negative.log_partition_surrogate(prior) if negative is not None else prior.log_partition()
            loss = prior.expected_energy(q, z).mean() + (0.0 if log_z is None else log_z)
        else:
            posterior = vae.normal(code)
            noise = torch.randn(posterior.loc.shape, generator=generator).to(posterior.loc)
            loss = -prior.log_prob(posterior.loc + posterior.scale * noise).mean()
        yield list(torch.autograd.grad(loss, parameters))
