"""A whole training step without the autograd engine: the fused layers' forward and backward functions, one after another.

It is the objective of `VAE.losses` in its commonest form (see `applies`), made of the kernels that `VAE.losses` itself runs
through autograd; tests hold the two to the same gradients. Call overhead and cache misses dominate at small batches, so the
step makes few calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from qbmvae.core import penalties, relaxations
from qbmvae.core.batch import Batch
from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused import bits, count_output, hidden_layer, noise
from qbmvae.core.fused.prior import code_gradient, prior_gradient
from qbmvae.core.fused.products import mm
from qbmvae.core.networks import ConditionalLinear, Hidden
from qbmvae.core.priors.boltzmann import BoltzmannPrior
from qbmvae.core.training.fused_step.pointers import Held
from qbmvae.core.training.fused_step.tables import Tables
from qbmvae.core.vae import VAE


def applies(vae: VAE, cycle_consistency: float = 0.0) -> bool:
    """Return whether a `Step` knows this model: the default one, of counts, on the CPU, with nothing frozen."""
    return (
        isinstance(vae.prior, BoltzmannPrior)
        and vae.prior.needs_samples
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
        The model, in training mode when called. The step works on the memory that its parameters have now, and keeps it
        alive; `moved` says which of them use other memory since: then the step is of no use any more.
    """

    def __init__(self, vae: VAE):
        assert isinstance(vae.prior, BoltzmannPrior)
        self.vae, self.prior = vae, vae.prior
        self.moved = Held(vae).moved
        self._encoder, self._decoder = _Network(vae.encoder), _Network(vae.decoder)
        outputs = [vae.output, vae.dropout_output] if vae.gene_likelihood == "zinb" else [vae.output]
        self._heads = [_Layer(layer) for layer in outputs]
        layers = [*self._encoder.layers, *self._decoder.layers, *self._heads]
        self._tables = Tables([layer.module for layer in layers], [(layer.table, layer.dtable) for layer in layers])
        single = (vae.posterior.weight, vae.posterior.bias, vae.log_dispersion, vae.prior.bias, vae.prior.W)
        self._values = [p.detach() for p in single]
        self._gradients = [torch.empty_like(p) for p in self._values]
        self._all = [*zip(single, self._gradients, strict=True), *self._tables.parameters]
        for layer in layers:
            self._all += layer.parameters()

    @staticmethod
    def takes(batch: Batch) -> bool:
        """Return whether a minibatch holds sparse rows, and more than one: `VAE.losses` takes the others."""
        return isinstance(batch.x, CsrBlock) and len(batch) > 1

    @torch.no_grad()
    def __call__(
        self, batch: Batch, reads: tuple[Tensor, Tensor], kl_weight: float = 1.0, batch_matching: float = 0.0
    ) -> tuple[float, dict[str, float]]:
        """Write the gradients of `VAE.losses`; return its total, and its terms summed over cells.

        Parameters
        ----------
        batch
            The minibatch.
        reads
            Spins and weights of the negative phase, see `NegativePhase.reads`.
        kl_weight, batch_matching
            As in `VAE.losses`.
        """
        vae, n = self.vae, len(batch)
        assert isinstance(batch.x, CsrBlock)
        weight, bias, log_theta, fields, couplings = self._values
        dweight, dbias, dlog_theta, dfields, dcouplings = self._gradients
        streams = iter(noise.streams(len(self._encoder.layers) + len(self._decoder.layers) + 1))
        self._tables.fill()
        # forward
        design = self._encoder.design(batch)
        encoded = self._encoder.forward(vae.transform(batch.x), design, streams)
        logits = mm(encoded[-1].out, weight.T).add_(bias)
        temperature = vae.estimator_parameter or relaxations.DEFAULTS["straight-through"]
        spins, q, entropy, slope = bits.forward(logits, temperature, next(streams), off=-1.0)
        conditions = self._decoder.design(batch)
        decoded = self._decoder.forward(spins, conditions, streams)
        # the likelihood, and back through the decoder
        codes = batch.covariates.categories[0].numpy()
        grad = torch.empty_like(decoded[-1].out)
        loss, cells = count_output.evaluate(
            decoded[-1].out, [(own.weight, own.table) for own in self._heads], conditions, log_theta, batch.library,
            batch.x, codes if vae.dispersion == "gene-batch" else np.zeros_like(codes), -1.0 / n,
            count_output.Gradients(grad, dlog_theta, [(own.dweight, own.dtable) for own in self._heads]),
        )  # fmt: skip
        grad = self._decoder.backward(decoded, conditions, grad)
        # KL and batch matching
        share, pull = np.float32(kl_weight) / np.float32(n), 0.0
        penalty, gaps = 0.0, np.zeros((vae.n_categories[0], vae.n_latent), dtype=np.float32)
        if batch_matching and vae.n_categories[0] > 1:
            penalty, gaps = penalties.gaps(q.numpy(), codes)
            pull = 2.0 * batch_matching / n
        back = torch.empty_like(logits)
        kl = code_gradient(
            logits.numpy(), slope.numpy(), q.numpy(), mm(q, couplings).numpy(), fields.numpy(), entropy.numpy(),
            grad.numpy(), gaps, codes, share, np.float32(pull), back.numpy(), dfields.numpy(),
        )  # fmt: skip
        first, second = self.prior.moments(*reads)
        surrogate = prior_gradient(
            first.numpy(), second.numpy(), mm(q.T, q).numpy(), share, np.float32(kl_weight), fields.numpy(),
            couplings.numpy(), self.prior.mask.numpy(), dfields.numpy(), dcouplings.numpy(),
        )  # fmt: skip
        # back through the encoder
        dweight.copy_(mm(back.T, encoded[-1].out))
        torch.sum(back, 0, out=dbias)
        self._encoder.backward(encoded, design, mm(back, weight), to_input=False)
        self._tables.sum_biases()
        self._hand_over()
        total = loss + kl_weight * (kl / n + surrogate) + batch_matching * penalty
        terms = {"reconstruction": -float(cells.sum()), "kl": kl}
        return total, terms | ({"batch_matching": batch_matching * penalty * n} if pull else {})

    def _hand_over(self) -> None:
        # once, unless someone has taken the gradients away since
        if self.vae.posterior.weight.grad is not self._gradients[0]:
            for parameter, gradient in self._all:
                parameter.grad = gradient


class _Layer:
    """A layer's tensors, without autograd, and the places of their gradients."""

    def __init__(self, module: ConditionalLinear, norm: nn.BatchNorm1d | None = None):
        self.module, self._norm_module = module, norm
        self.weight, self.table = module.weight.detach(), module.table().detach().clone()
        self.dweight, self.dtable = torch.empty_like(self.weight), torch.empty_like(self.table)
        if norm is not None:
            self.norm, self.dnorm = hidden_layer.Norm.of(norm), torch.empty(2, len(norm.weight))

    def parameters(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Return the parameters outside the table, each with the place of its gradient."""
        own, norm = [(self.module.weight, self.dweight)], self._norm_module
        return own if norm is None else [*own, (norm.weight, self.dnorm[0]), (norm.bias, self.dnorm[1])]


class _Passed(NamedTuple):
    """A hidden layer after its forward pass."""

    x: Tensor | CsrBlock
    out: Tensor
    normalised: Tensor
    inverse: np.ndarray


class _Network:
    """The hidden layers of encoder or decoder."""

    def __init__(self, module: Hidden):
        self.dropout, self._first = module.dropout.p, module.layers[0]
        self.layers = [_Layer(layer, norm) for layer, norm in zip(module.layers, module.norms, strict=True)]  # type: ignore[arg-type]

    def design(self, batch: Batch) -> CsrBlock:
        """Return the design that all layers share."""
        assert isinstance(self._first, ConditionalLinear)
        return self._first.design(batch.covariates, len(batch))

    def forward(self, x: Tensor | CsrBlock, design: CsrBlock, streams: Iterator[np.ndarray]) -> list[_Passed]:
        passed = []
        for own in self.layers:
            out = hidden_layer.forward(x, own.weight, own.table, design, own.norm, self.dropout, next(streams))
            passed.append(_Passed(x, *out))
            x = out[0]
        return passed

    def backward(self, passed: list[_Passed], design: CsrBlock, grad: Tensor, to_input: bool = True) -> Tensor:
        """Write the layers' gradients, and return that of the first one's input."""
        for k, (own, at) in reversed(list(enumerate(zip(self.layers, passed, strict=True)))):
            grad = hidden_layer.backward(
                grad, at.out, at.normalised, at.inverse, own.norm.scale, self.dropout, design, own.dnorm, own.dtable
            )
            hidden_layer.weight_gradient(at.x, grad, own.dweight)
            if k or to_input:
                grad = mm(grad, own.weight.T)
        return grad
