"""Priors over real codes, for ablation: standard Gaussian, mixture of Gaussians, VampPrior."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from qbmvae.core.priors.base import Prior


class ContinuousPrior(Prior):
    """A prior over real codes."""

    discrete = False

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z), `(..., n_latent)` to `(...)`, in nats."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Return `n` codes, `(n, n_latent)`."""

    def kl(self, posterior: Normal, z: Tensor) -> Tensor:
        """Return a one-sample estimate of KL(q || p) at the reparametrised `z`, `(n_cells,)`."""
        return posterior.log_prob(z).sum(-1) - self.log_prob(z)


class GaussianPrior(ContinuousPrior):
    """The standard Gaussian of a plain VAE."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the standard normal log density."""
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Return standard normal codes."""
        return torch.randn(n, self.n_latent, generator=generator)

    def kl(self, posterior: Normal, z: Tensor) -> Tensor:
        """Return the closed-form KL, `(n_cells,)`."""
        variance = posterior.scale.square()
        return 0.5 * (variance + posterior.loc.square() - 1 - variance.log()).sum(-1)


class MixturePrior(ContinuousPrior):
    """A mixture of diagonal Gaussians with learned weights, means and variances.

    Parameters
    ----------
    n_latent
        Dimensions of the code.
    n_components
        Number of Gaussians.
    """

    def __init__(self, n_latent: int, n_components: int = 32):
        super().__init__(n_latent)
        self.logits = nn.Parameter(torch.zeros(n_components))
        self.loc = nn.Parameter(torch.randn(n_components, n_latent))
        self.log_scale = nn.Parameter(torch.zeros(n_components, n_latent))

    def components(self) -> Normal:
        """Return the components, batch shape `(n_components, n_latent)`."""
        return Normal(self.loc, self.log_scale.exp())

    def log_prob(self, z: Tensor) -> Tensor:
        """Return the mixture's log density."""
        parts = self.components().log_prob(z.unsqueeze(-2)).sum(-1)
        return torch.logsumexp(parts + self.logits.log_softmax(-1), -1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Return codes of the mixture."""
        which = torch.multinomial(self.logits.softmax(-1), n, replacement=True, generator=generator)
        components = self.components()
        noise = torch.randn(n, self.n_latent, generator=generator)
        return components.loc[which] + components.scale[which] * noise


class VampPrior(MixturePrior):
    """A mixture of the posterior at learned pseudo-inputs (Tomczak and Welling 2018).

    Parameters
    ----------
    n_latent
        Dimensions of the code.
    n_input
        Width of the encoder's input (log1p counts).
    n_components
        Number of pseudo-inputs.
    """

    def __init__(self, n_latent: int, n_input: int, n_components: int = 32):
        super().__init__(n_latent, n_components)
        # the components are read off the pseudo-inputs
        del self.loc, self.log_scale
        self.pseudo_inputs = nn.Parameter(torch.rand(n_components, n_input))
        self._encode: list[Callable[[Tensor], Normal]] = []

    def bind(self, encode: Callable[[Tensor], Normal]) -> None:
        """Give the prior the encoder; kept in a list so that torch does not register it twice."""
        self._encode = [encode]

    def components(self) -> Normal:
        """Return the posteriors at the pseudo-inputs (kept non-negative)."""
        return self._encode[0](self.pseudo_inputs.clamp(min=0))
