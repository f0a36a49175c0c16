"""A whole training step without the autograd engine: the fused layers' forward and backward functions, one after another.

It is the objective of `VAE.losses` in its commonest form (see `applies`), made of the functions that `VAE.losses` itself
runs through autograd: tests hold the two to the same gradients. On a small minibatch that engine is half of a step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from qbmvae.core import penalties, relaxations
from qbmvae.core.batch import Batch, Losses
from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused import bits, count_output, hidden_layer
from qbmvae.core.networks import ConditionalLinear, Covariates, Hidden
from qbmvae.core.priors.boltzmann import BoltzmannPrior, quadratic_energy, quadratic_energy_backward
from qbmvae.core.vae import VAE


def applies(vae: VAE, cycle_consistency: float = 0.0) -> bool:
    """Return whether a `Step` knows this model: the default one, of counts, on the CPU, with nothing frozen."""
    return (
        isinstance(vae.prior, BoltzmannPrior)
        and vae.estimator == "straight-through"
        and vae.gene_likelihood in ("nb", "zinb")
        and not cycle_consistency
        and not vae.frozen_statistics
        and all(isinstance(norm, nn.BatchNorm1d) for norm in (*vae.encoder.norms, *vae.decoder.norms))
        and all(p.requires_grad and p.device.type == "cpu" and p.dtype == torch.float32 for p in vae.parameters())
    )


class Step:
    """Losses and gradients of a `VAE` that `applies` accepts; `parameter.grad` is written, not added to.

    Parameters
    ----------
    vae
        The model, in training mode when called.
    """

    def __init__(self, vae: VAE):
        self.vae = vae
        prior = vae.prior
        assert isinstance(prior, BoltzmannPrior)
        self.prior = prior
        self._encoder = [_Gradients(layer, norm) for layer, norm in zip(*_layers(vae.encoder), strict=True)]
        self._decoder = [_Gradients(layer, norm) for layer, norm in zip(*_layers(vae.decoder), strict=True)]
        heads = [vae.output, vae.dropout_output] if vae.gene_likelihood == "zinb" else [vae.output]
        self._heads = [_Gradients(layer) for layer in heads]
        self._posterior, self._log_theta = _empty(vae.posterior.weight), _empty(vae.log_dispersion)

    @staticmethod
    def takes(batch: Batch) -> bool:
        """Return whether a minibatch holds sparse rows, and more than one: `VAE.losses` takes the others."""
        return isinstance(batch.x, CsrBlock) and len(batch) > 1

    @torch.no_grad()
    def __call__(
        self, batch: Batch, reads: tuple[Tensor, Tensor], kl_weight: float = 1.0, batch_matching: float = 0.0
    ) -> Losses:
        """Return what `VAE.losses` does, gradients written.

        Parameters
        ----------
        batch
            The minibatch.
        reads
            Spins and weights of the negative phase, see `NegativePhase.reads`.
        kl_weight, batch_matching
            As in `VAE.losses`.
        """
        vae, n, covariates = self.vae, len(batch), batch.covariates
        encoded = _forward(vae.encoder, vae.transform(batch.x), covariates)
        hidden = encoded[-1].out
        logits = torch.addmm(vae.posterior.bias, hidden, vae.posterior.weight.T)
        temperature = vae.estimator_parameter or relaxations.DEFAULTS["straight-through"]
        z, q, entropy, slope = bits.forward(logits, temperature)
        decoded = _forward(vae.decoder, z.mul(2).sub_(1), covariates)

        loss, cells, grad = self._likelihood(batch, decoded[-1].out)
        grad_spins = _backward(decoded, self._decoder, grad, vae.decoder.dropout.p)
        share = torch.full((n,), kl_weight).div_(n)
        energy, surrogate, grad_q = self._energy(q, reads, kl_weight, share)
        kl = energy.sub_(entropy)
        total, terms = loss + kl_weight * (kl.mean() + surrogate), {}
        if batch_matching and vae.n_categories[0] > 1:
            gap, gaps = penalties.forward(q, covariates.categories[0])
            terms["batch_matching"] = batch_matching * gap
            total += terms["batch_matching"]
            grad_q += penalties.backward(batch_matching, gaps, covariates.categories[0])
        grad = bits.backward(logits, slope, q, grad_spins.mul_(2), grad_q, share.neg_())
        torch.mm(grad.T, hidden, out=self._posterior)
        vae.posterior.weight.grad, vae.posterior.bias.grad = self._posterior, grad.sum(0)
        _backward(encoded, self._encoder, torch.mm(grad, vae.posterior.weight), vae.encoder.dropout.p)
        return Losses(total, -cells, kl, terms)

    def _likelihood(self, batch: Batch, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean loss, each cell's log-likelihood and the gradient of the last hidden layer."""
        vae, codes = self.vae, batch.covariates.categories[0]
        rows = codes if vae.dispersion == "gene-batch" else torch.zeros_like(codes)
        grad, n = torch.empty_like(hidden), len(batch)
        assert isinstance(batch.x, CsrBlock)
        loss, cells = count_output.evaluate(
            hidden, [(own.layer.weight, own.layer.table()) for own in self._heads],
            vae.output.design(batch.covariates, n), vae.log_dispersion, batch.library, batch.x, rows.numpy(), -1.0 / n,
            count_output.Gradients(grad, self._log_theta, [(own.weight, own.table) for own in self._heads]),
        )  # fmt: skip
        for own in self._heads:
            own.assign()
        vae.log_dispersion.grad = self._log_theta
        return loss, cells, grad

    def _energy(
        self, q: Tensor, reads: tuple[Tensor, Tensor], kl_weight: float, share: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the cells' expected energies, log Z's surrogate and the gradient of q; `share` is that of an energy."""
        prior = self.prior
        energy, pushed = quadratic_energy(q, prior.bias, prior.W)
        grad, grad_bias, grad_couplings = quadratic_energy_backward(share, q, prior.bias, pushed)
        first, second = prior.moments(*reads)
        prior.bias.grad = grad_bias.add_(first, alpha=kl_weight)
        prior.W.grad = prior.project(grad_couplings.add_(second, alpha=0.5 * kl_weight))
        return energy, prior.bias @ first + 0.5 * (prior.W * second).sum(), grad


class _Passed(NamedTuple):
    """A hidden layer after its forward pass."""

    x: Tensor | CsrBlock
    design: CsrBlock
    out: Tensor
    normalised: Tensor
    inverse: np.ndarray


class _Gradients:
    """Where a layer's gradients are written, used again by every step; with those of its normalisation, if it has one."""

    def __init__(self, layer: ConditionalLinear, norm: nn.BatchNorm1d | None = None):
        self.layer, self.scale = layer, None if norm is None else norm.weight.detach()
        self.weight, self.table = _empty(layer.weight), torch.empty_like(layer.table(), requires_grad=False)
        self._bias = _empty(layer.bias)
        self._all = [(layer.weight, self.weight), (layer.bias, self._bias), *layer.table_rows(self.table)]
        if norm is not None:
            self.norm = torch.empty(2, len(layer.bias))
            self._all += [(norm.weight, self.norm[0]), (norm.bias, self.norm[1])]

    def assign(self) -> None:
        """Hand the parameters their gradients; the table's rows are views."""
        # the bias rides on the first covariate's rows
        torch.sum(self.table[: self.layer.n_biased], 0, out=self._bias)
        for parameter, gradient in self._all:
            parameter.grad = gradient


def _empty(parameter: nn.Parameter) -> Tensor:
    return torch.empty_like(parameter, requires_grad=False)


def _layers(network: Hidden) -> tuple[nn.ModuleList, nn.ModuleList]:
    return network.layers, network.norms


def _forward(network: Hidden, x: Tensor | CsrBlock, covariates: Covariates) -> list[_Passed]:
    passed: list[_Passed] = []
    for layer, norm in zip(*_layers(network), strict=True):
        design = layer.design(covariates, len(x))
        out, normalised, inverse = hidden_layer.forward(x, layer.weight, layer.table(), design, norm, network.dropout.p)
        passed.append(_Passed(x, design, out, normalised, inverse))
        x = out
    return passed


def _backward(passed: list[_Passed], gradients: list[_Gradients], grad: Tensor, dropout: float) -> Tensor:
    """Write the gradients of hidden layers, and return that of the first one's input, if that is dense."""
    for own, at in zip(reversed(gradients), reversed(passed), strict=True):
        dy = hidden_layer.backward(grad, at.out, at.normalised, at.inverse, own.scale, dropout, own.norm)
        hidden_layer.transposed_product(at.x, dy, own.weight)
        hidden_layer.transposed_product(at.design, dy, own.table)
        own.assign()
        if isinstance(at.x, Tensor):
            grad = torch.mm(dy, own.layer.weight.T)
    return grad
