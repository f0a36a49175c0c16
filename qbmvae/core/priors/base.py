"""What the objective asks of a prior."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from samplers.problem import Ising


class Prior(nn.Module):
    """A distribution over the latent code, p(z).

    Attributes
    ----------
    discrete
        True for bits in {0, 1} with a Bernoulli posterior, False for real codes with a Normal posterior.
    needs_samples
        Whether the gradient of log Z needs a negative phase.
    """

    discrete: bool = True
    needs_samples: bool = False

    def __init__(self, n_latent: int):
        super().__init__()
        self.n_latent = n_latent


class DiscretePrior(Prior):
    r"""A prior over bits, :math:`p(z) = \exp(-E(z)) / Z`.

    Attributes
    ----------
    exact_expectation
        Whether `expected_energy` is exact, or taken at the reparametrised bits.
    """

    exact_expectation: bool = True

    @abstractmethod
    def energy(self, z: Tensor) -> Tensor:
        """Return the (free) energy of codes, `(..., n_latent)` to `(...)`, in nats."""

    @abstractmethod
    def expected_energy(self, q: Tensor, z: Tensor) -> Tensor:
        """Return E_q[energy], `(n_cells,)`.

        Parameters
        ----------
        q
            Bit probabilities, `(n_cells, n_latent)`: enough where the energy is quadratic.
        z
            Reparametrised bits, `(n_cells, n_latent)`: used where it is not.
        """

    @abstractmethod
    def problem(self) -> Ising:
        """Return the prior as an Ising problem at beta 1, log Z included (hidden units after the visible bits)."""

    def log_partition(self) -> Tensor | None:
        """Return log Z where it has a closed form, else None."""
        return None

    def negative_energy_moments(self, states: Tensor, weights: Tensor) -> Tensor:
        r"""Return a scalar whose gradient estimates that of log Z from weighted states of the prior.

        :math:`\nabla \log Z = -E_p[\nabla E(z)]`; subclasses may lower the variance.

        Parameters
        ----------
        states
            Spins -1/+1 of the negative phase, `(n_reads, n_spins)`.
        weights
            Normalised weights, `(n_reads,)`.
        """
        return -(weights * self.energy((states[:, : self.n_latent] + 1) / 2)).sum()


def entropy(logits: Tensor) -> Tensor:
    r"""Return the entropy of independent bits in nats, summed over the last axis.

    Written as :math:`\log(1 + e^a) - a \sigma(a)`: its gradient stays finite where the probability rounds to 0 or 1.
    """
    return (nn.functional.softplus(logits) - logits * torch.sigmoid(logits)).sum(-1)
