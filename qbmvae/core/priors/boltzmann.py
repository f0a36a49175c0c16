"""Boltzmann priors: pairwise (dense or on a graph), restricted with true hidden units, and their ablations."""

from __future__ import annotations

import math

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from qbmvae.core.fused import prior as prior_kernels
from qbmvae.core.fused.products import mm
from qbmvae.core.priors.base import DiscretePrior
from samplers.problem import Ising


class BoltzmannPrior(DiscretePrior):
    r"""A Boltzmann machine over the latent bits, :math:`p(z) = \exp(b \cdot z + z^T W z / 2) / Z`.

    Parameters
    ----------
    n_latent
        Number of bits.
    mask
        Allowed couplings, boolean `(n_latent, n_latent)`; all pairs by default.
    frozen_couplings_scale
        None: W starts at 0 and is learned. Else W is drawn once from N(0, scale^2 / n_latent) and stays (an ablation).

    Attributes
    ----------
    bias
        Fields b, `(n_latent,)`.
    W
        Couplings, `(n_latent, n_latent)`, symmetric, zero where the mask forbids.
    """

    needs_samples = True
    mask: Tensor

    def __init__(self, n_latent: int, mask: Tensor | None = None, frozen_couplings_scale: float | None = None):
        super().__init__(n_latent)
        if mask is None:
            mask = ~torch.eye(n_latent, dtype=torch.bool)
        self.register_buffer("mask", mask)
        self.bias = nn.Parameter(torch.zeros(n_latent))
        couplings = torch.zeros(n_latent, n_latent)
        if frozen_couplings_scale is not None:
            draw = torch.triu(torch.randn(n_latent, n_latent), 1) * frozen_couplings_scale / n_latent**0.5
            couplings = (draw + draw.T) * mask
        # symmetric and masked from the start, and kept so by projecting the gradient
        self.W = nn.Parameter(couplings, requires_grad=frozen_couplings_scale is None)
        if self.W.requires_grad:
            self.W.register_hook(self.project)
        self._addresses: tuple[int, ...] = ()
        self._views: tuple[np.ndarray, ...] = ()

    def project(self, gradient: Tensor) -> Tensor:
        """Return the part of a gradient of W that keeps it symmetric and inside the mask."""
        return (gradient + gradient.T) * 0.5 * self.mask

    def energy(self, z: Tensor) -> Tensor:
        """Return -b.z - z'Wz/2 for codes or, as the energy is multilinear, for bit probabilities."""
        return -(z * (self.bias + 0.5 * (z @ self.W))).sum(-1)

    def expected_energy(self, q: Tensor, z: Tensor) -> Tensor:
        """Return the exact expectation under independent bits: no sample is needed."""
        rows = q.reshape(-1, self.n_latent)
        return _QuadraticEnergy.apply(rows, self.bias, self.W).reshape(q.shape[:-1])

    def _arrays(self) -> tuple[np.ndarray, ...]:
        """Return bias, W and mask as arrays: views, kept as long as the tensors stay where they are."""
        tensors = self.bias, self.W, self.mask
        if self.W.device.type != "cpu":
            return tuple(t.numpy(force=True) for t in tensors)
        # torch's way from a tensor to its array costs more than the arithmetic
        addresses = tuple(t.data_ptr() for t in tensors)
        if addresses != self._addresses:
            self._addresses, self._views = addresses, tuple(t.detach().numpy() for t in tensors)
        return self._views

    def problem(self) -> Ising:
        """Return the Ising problem over the latent bits."""
        bias, W, mask = self._arrays()
        h, J = np.empty(len(bias)), np.empty(W.shape)
        offset = prior_kernels.ising(bias, W, J, h)
        # a sparse kernel pays on hardware graphs, a dense one elsewhere
        if np.count_nonzero(mask) < 0.1 * J.size:
            return Ising(h, sp.csr_array(J), offset=offset)
        # a value that is not finite reaches the constant: the checks then name it
        return (Ising.unchecked if math.isfinite(offset) else Ising)(h, J, offset=offset)

    def negative_energy_moments(self, states: Tensor, weights: Tensor) -> Tensor:
        r"""Return a scalar with the gradient of log Z, each sampled bit once replaced by its conditional mean.

        The Rao-Blackwell moments are :math:`E[\mu_i]` and :math:`E[z_i \mu_j + \mu_i z_j] / 2` with
        :math:`\mu = \sigma(b + W z)`: the same mean, a smaller variance.
        """
        with torch.no_grad():
            first, second = self.moments(states, weights)
        return self.bias @ first + 0.5 * (self.W * second).sum()

    @torch.no_grad()
    def moments(self, states: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return E[mu_i], `(n_latent,)`, and E[z_i mu_j], `(n_latent, n_latent)`, of `negative_energy_moments`."""
        if self.W.device.type == "cpu" and self.W.dtype == torch.float32:
            first, z = torch.empty_like(self.bias), torch.empty(states.shape)
            prior_kernels.bits_of(states.numpy(), z.numpy())
            mu = mm(z, self.W)
            prior_kernels.conditional_means(mu.numpy(), self.bias.numpy(), weights.numpy(), first.numpy())
            return first, mm(z.T, mu)
        z = states.to(self.W).add(1).mul_(0.5)
        mu = torch.addmm(self.bias, z, self.W).sigmoid_().mul_(weights[:, None])
        # E[z_i mu_j]: the gradient's projection makes it symmetric
        return mu.sum(0), torch.mm(z.T, mu)


def _quadratic_energy(q: Tensor, bias: Tensor, W: Tensor) -> tuple[Tensor, Tensor]:
    """Return -b.q - q'Wq/2 of each row, and q W; no autograd."""
    pushed = q @ W
    return -(q * (bias + 0.5 * pushed)).sum(-1), pushed


def _quadratic_energy_backward(grad: Tensor, q: Tensor, bias: Tensor, pushed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of q, the fields and (not yet projected) the couplings from that of each row's energy."""
    down = -grad.unsqueeze(-1)
    weighted = q * down
    return down * (bias + pushed), weighted.sum(0), 0.5 * (weighted.T @ q)


class _QuadraticEnergy(torch.autograd.Function):
    """-b.q - q'Wq/2 of each row for a symmetric W, with half the products of plain autograd."""

    @staticmethod
    def forward(ctx, q, bias, W):
        energy, pushed = _quadratic_energy(q, bias, W)
        ctx.save_for_backward(q, bias, pushed)
        return energy

    @staticmethod
    def backward(ctx, grad):
        return _quadratic_energy_backward(grad, *ctx.saved_tensors)


class RestrictedBoltzmannPrior(DiscretePrior):
    r"""A restricted Boltzmann machine: the latent bits are its visible units, the hidden units are true hidden units.

    :math:`p(z, h) = \exp(b \cdot z + c \cdot h + z^T V h) / Z`; summing out h leaves the free energy
    :math:`F(z) = -b \cdot z - \sum_j \log(1 + \exp(c_j + (z^T V)_j))`, which is not quadratic: its expectation is taken
    at the reparametrised bits.

    Parameters
    ----------
    n_latent
        Number of visible bits.
    n_hidden_units
        Number of hidden units.
    """

    needs_samples = True
    exact_expectation = False

    def __init__(self, n_latent: int, n_hidden_units: int):
        super().__init__(n_latent)
        self.n_hidden_units = n_hidden_units
        self.bias = nn.Parameter(torch.zeros(n_latent))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden_units))
        # hidden units that start alike stay alike
        self.couplings = nn.Parameter(0.01 * torch.randn(n_latent, n_hidden_units))

    def energy(self, z: Tensor) -> Tensor:
        """Return the free energy of the visible bits."""
        return -(z @ self.bias) - F.softplus(self.hidden_bias + z @ self.couplings).sum(-1)

    def expected_energy(self, q: Tensor, z: Tensor) -> Tensor:
        """Return the free energy at the reparametrised bits, an estimate of its expectation."""
        return self.energy(z)

    def problem(self) -> Ising:
        """Return the bipartite Ising problem over visible bits and hidden units."""
        b, c, V = (p.detach().double().cpu().numpy() for p in (self.bias, self.hidden_bias, self.couplings))
        offset = -b.sum() / 2 - c.sum() / 2 - V.sum() / 4
        return Ising.bipartite(-b / 2 - V.sum(1) / 4, -c / 2 - V.sum(0) / 4, -V / 4, offset=offset)


class BernoulliPrior(DiscretePrior):
    """Independent bits with learned fields (J = 0), or uniform bits.

    Parameters
    ----------
    n_latent
        Number of bits.
    learned
        False fixes every field at 0.
    """

    def __init__(self, n_latent: int, learned: bool = True):
        super().__init__(n_latent)
        self.bias = nn.Parameter(torch.zeros(n_latent), requires_grad=learned)

    def energy(self, z: Tensor) -> Tensor:
        """Return -b.z."""
        return -(z @ self.bias)

    def expected_energy(self, q: Tensor, z: Tensor) -> Tensor:
        """Return -b.q, exact."""
        return self.energy(q)

    def problem(self) -> Ising:
        """Return the Ising problem without couplings."""
        bias = self.bias.detach().double().cpu().numpy()
        return Ising(-bias / 2, {}, offset=-bias.sum() / 2)

    def log_partition(self) -> Tensor:
        """Return sum_i log(1 + exp(b_i))."""
        return F.softplus(self.bias).sum()
