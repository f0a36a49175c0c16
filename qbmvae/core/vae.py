"""The model and its objective, in the order in which the science tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from qbmvae.core import likelihoods, priors, relaxations
from qbmvae.core.batch import Batch, Losses
from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused.bits import straight_through
from qbmvae.core.fused.count_output import count_output
from qbmvae.core.fused.products import linear
from qbmvae.core.networks import ConditionalLinear, Covariates, Hidden, statistics_kept
from qbmvae.core.options import ModelOptions
from qbmvae.core.penalties import batch_mean_gap
from qbmvae.core.priors.base import DiscretePrior, entropy
from qbmvae.core.priors.continuous import VampPrior

#: Share of non-zero values above which the encoder's first layer multiplies densely.
DENSE = 0.3
#: Fewest cells of a minibatch on which cycle consistency is measured.
CYCLE_CELLS = 32


__all__ = ["VAE", "Batch", "Losses"]


class VAE(nn.Module):
    """A variational autoencoder of single-cell counts with a Boltzmann (or other) prior.

    Parameters
    ----------
    n_input
        Number of genes.
    n_categories
        Number of categories of each categorical covariate, the batch first.
    n_continuous
        Number of continuous covariates.
    **options
        Those of `ModelOptions`.

    Attributes
    ----------
    options : ModelOptions
        What the model is, whatever the data.
    """

    def __init__(self, n_input: int, n_categories: Sequence[int] = (1,), n_continuous: int = 0, **options: Any):
        super().__init__()
        o = ModelOptions(**options)
        # without counts to look at
        self.options = o = replace(o, gene_likelihood="nb") if o.gene_likelihood == "auto" else o
        self.n_input, self.n_latent = n_input, o.n_latent
        self.n_categories = tuple(n_categories)
        self.gene_likelihood, self.dispersion = o.gene_likelihood, o.dispersion
        self.estimator, self.estimator_parameter = o.estimator, o.estimator_parameter
        self.prior = priors.make(
            o.prior,
            o.n_latent,
            n_input=n_input,
            topology=o.topology,
            n_hidden_units=o.n_hidden_units,
            n_components=o.n_components,
        )
        every = (self.n_categories, n_continuous)
        seen = every if o.encode_covariates else ((), 0)
        self.encoder = Hidden(n_input, o.n_hidden, o.n_layers, *seen, o.dropout_rate, o.normalisation)
        self.posterior = nn.Linear(o.n_hidden, o.n_latent * (1 if self.prior.discrete else 2))
        self.decoder = Hidden(o.n_latent, o.n_hidden, o.n_layers, *every, o.decoder_dropout_rate, o.normalisation)
        self.output = ConditionalLinear(o.n_hidden, n_input, *every)
        if o.gene_likelihood == "zinb":
            self.dropout_output = ConditionalLinear(o.n_hidden, n_input, *every)
        if o.gene_likelihood != "poisson":
            rows = self.n_categories[0] if o.dispersion == "gene-batch" else 1
            # log inverse dispersion, or log standard deviation of the Gaussian
            self.log_dispersion = nn.Parameter(torch.zeros(rows, n_input))
        if isinstance(self.prior, VampPrior):
            self.prior.bind(self._encode_pseudo)
        # set for query mapping: normalisation statistics and dropout stay as they were trained
        self.frozen_statistics = False

    def train(self, mode: bool = True) -> VAE:
        """Switch between training and evaluation; frozen statistics stay in evaluation."""
        super().train(mode)
        if self.frozen_statistics:
            self.encoder.eval()
            self.decoder.eval()
        return self

    # -- the pieces -------------------------------------------------------------------------------------------------

    def transform(self, x: Tensor | CsrBlock) -> Tensor | CsrBlock:
        """Return the encoder's input: log1p of counts, log-normalised values as they are."""
        if isinstance(x, CsrBlock):
            logs = x if self.gene_likelihood == "gaussian" else x.log1p()
            # a dense product wins where few values are zero
            return logs if logs.density < DENSE else logs.dense()
        return x if self.gene_likelihood == "gaussian" else torch.log1p(x)

    def encode(self, x: Tensor | CsrBlock, covariates: Covariates) -> Tensor:
        """Return the posterior's parameters: bit logits, or location and log variance side by side."""
        hidden = self.encoder(self.transform(x), covariates)
        if torch.is_grad_enabled():
            return self.posterior(hidden)
        return linear(hidden, self.posterior.weight.T, self.posterior.bias)

    def _encode_pseudo(self, inputs: Tensor) -> Normal:
        codes = tuple(torch.zeros(len(inputs), dtype=torch.long, device=inputs.device) for _ in self.n_categories)
        # normalised as cells are once training is over: by the statistics of data, among which pseudo-inputs do not count
        training = self.encoder.training
        self.encoder.eval()
        try:
            hidden = self.encoder(inputs, Covariates(codes, None))
        finally:
            self.encoder.train(training)
        return self.normal(self.posterior(hidden))

    @staticmethod
    def normal(parameters: Tensor) -> Normal:
        """Return the Normal posterior of a continuous code."""
        loc, log_variance = parameters.chunk(2, -1)
        return Normal(loc, (0.5 * log_variance.clamp(-20, 10)).exp() + 1e-4)

    def code(self, parameters: Tensor) -> Tensor:
        """Return the deterministic code: bit probabilities, or the posterior's location."""
        return torch.sigmoid(parameters) if self.prior.discrete else self.normal(parameters).loc

    def sample_code(self, parameters: Tensor) -> Tensor:
        """Return a draw of the posterior: hard bits, or a real code."""
        return relaxations.bernoulli(parameters) if self.prior.discrete else self.normal(parameters).sample()

    def log_dispersions(self, covariates: Covariates) -> Tensor:
        """Return the log dispersion of each gene, one row or one a cell."""
        return self.log_dispersion[covariates.categories[0]] if self.dispersion == "gene-batch" else self.log_dispersion

    def decode_logits(self, z: Tensor, covariates: Covariates) -> tuple[Tensor, Tensor]:
        """Return the output layer's logits and the last hidden layer."""
        hidden = self.decode_hidden(z, covariates)
        return self.output(hidden, covariates), hidden

    def decode_hidden(self, z: Tensor, covariates: Covariates) -> Tensor:
        """Return the decoder's last hidden layer."""
        # bits enter as spins: a centred input
        return self.decoder(2 * z - 1 if self.prior.discrete else z, covariates)

    def scale(self, logits: Tensor) -> Tensor:
        """Return expected frequencies (rows sum to 1), or the Gaussian's mean."""
        return logits if self.gene_likelihood == "gaussian" else torch.softmax(logits, -1)

    def log_likelihood(self, batch: Batch, z: Tensor, factor: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return log p(x | z): its sum over cells times `factor`, with the gradient, and each cell's, without.

        Parameters
        ----------
        batch
            Cells with their counts.
        z
            Their bits, `(n_cells, n_latent)`.
        factor
            Multiplies the sum.
        """
        if isinstance(batch.x, CsrBlock) and self.gene_likelihood in ("nb", "zinb"):
            return self._fused_likelihood(batch.x, batch, z, factor)
        logits, hidden = self.decode_logits(z, batch.covariates)
        x = batch.x.dense() if isinstance(batch.x, CsrBlock) else batch.x
        cells = self._reference_likelihood(x, batch, logits, hidden).sum(-1)
        return factor * cells.sum(), cells.detach()

    def _fused_likelihood(self, x: CsrBlock, batch: Batch, z: Tensor, factor: float) -> tuple[Tensor, Tensor]:
        covariates = batch.covariates
        hidden = self.decoder(2 * z - 1 if self.prior.discrete else z, covariates)
        layers = [self.output, self.dropout_output] if self.gene_likelihood == "zinb" else [self.output]
        codes = covariates.categories[0]
        rows = (codes if self.dispersion == "gene-batch" else torch.zeros_like(codes)).numpy()
        return count_output(
            hidden,
            [(layer.weight, layer.table()) for layer in layers],
            self.output.design(covariates, len(x)),
            self.log_dispersion,
            batch.library,
            x,
            rows,
            factor,
        )

    def _reference_likelihood(self, x: Tensor, batch: Batch, logits: Tensor, hidden: Tensor) -> Tensor:
        """Return log p(x | z) of each count, `(n_cells, n_genes)`."""
        if self.gene_likelihood == "gaussian":
            return likelihoods.gaussian(x, logits, self.log_dispersions(batch.covariates))
        mean = batch.library.unsqueeze(-1) * torch.softmax(logits, -1)
        if self.gene_likelihood == "poisson":
            return likelihoods.poisson(x, mean)
        log_theta = self.log_dispersions(batch.covariates)
        if self.gene_likelihood == "zinb":
            dropout = self.dropout_output(hidden, batch.covariates)
            return likelihoods.zero_inflated_negative_binomial(x, mean, log_theta, dropout)
        return likelihoods.negative_binomial(x, mean, log_theta)

    # -- the objective ----------------------------------------------------------------------------------------------

    def losses(
        self,
        batch: Batch,
        log_partition: Tensor | float = 0.0,
        kl_weight: float = 1.0,
        batch_matching: float = 0.0,
        cycle_consistency: float = 0.0,
        supervision: Callable[[Tensor, np.ndarray | None], Tensor] | None = None,
    ) -> Losses:
        """Return the terms of the objective at one reparametrised draw.

        Parameters
        ----------
        batch
            The minibatch.
        log_partition
            log Z of the prior, or a scalar with its gradient (`NegativePhase.log_partition_surrogate`).
        kl_weight
            Weight of the KL, log Z included.
        batch_matching
            Weight of the squared difference between each batch's mean bit probabilities and the minibatch's.
        cycle_consistency
            Weight of the squared difference of codes after decoding with another batch and encoding again.
        supervision
            Loss of labelled cells from codes and rows, see `qbmvae.core.training.supervision`.
        """
        parameters = self.encode(batch.x, batch.covariates)
        penalties: dict[str, Tensor] = {}
        surrogate: Tensor | float = 0.0
        mean = -1.0 / len(batch)
        if isinstance(self.prior, DiscretePrior):
            if self.estimator == "disarm":
                z, other = relaxations.antithetic(parameters)
                code, bits_entropy = torch.sigmoid(parameters), entropy(parameters)
                loss, cells, surrogate = self._disarm(batch, parameters, z, other)
            else:
                z, code, bits_entropy = self._bits(parameters)
                loss, cells = self.log_likelihood(batch, z, mean)
            # exact, with a gradient to encoder and prior; only log Z needs samples
            kl = self.prior.expected_energy(code, z) - bits_entropy
        else:
            posterior = self.normal(parameters)
            z, code = posterior.rsample(), posterior.loc
            loss, cells = self.log_likelihood(batch, z, mean)
            kl = self.prior.kl(posterior, z)
        if batch_matching and self.n_categories[0] > 1:
            penalties["batch_matching"] = batch_matching * batch_mean_gap(code, batch.covariates.categories[0])
        if cycle_consistency and self.n_categories[0] > 1:
            penalties["cycle_consistency"] = cycle_consistency * self._cycle(batch, z, code)
        if supervision is not None:
            penalties["labels"] = supervision(code, batch.rows)
        total = loss + kl_weight * (kl.mean() + log_partition) + surrogate
        for penalty in penalties.values():
            total = total + penalty
        return Losses(total, -cells, kl.detach(), penalties)

    def _bits(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return reparametrised bits, bit probabilities and each cell's entropy."""
        if self.estimator == "straight-through" and logits.device.type == "cpu" and logits.dtype == torch.float32:
            temperature = self.estimator_parameter or relaxations.DEFAULTS["straight-through"]
            return straight_through(logits, temperature)
        bits = relaxations.sample(logits, self.estimator, self.estimator_parameter)
        return bits, torch.sigmoid(logits), entropy(logits)

    def _disarm(self, batch: Batch, logits: Tensor, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return both draws' mean loss a cell, log-likelihoods, and a scalar with the logits' gradient (its value is 0)."""
        (sum1, cells1), (sum2, cells2) = self.log_likelihood(batch, z1), self.log_likelihood(batch, z2)
        gradient = relaxations.disarm_gradient(logits, z1, z2, -cells1, -cells2)
        push = (gradient * (logits - logits.detach())).sum(-1).mean()
        return -(sum1 + sum2) / (2 * len(batch)), (cells1 + cells2) / 2, push

    def _cycle(self, batch: Batch, z: Tensor, code: Tensor) -> Tensor:
        # a quarter of the (shuffled) cells estimates the same mean for a quarter of the cost
        n = min(len(batch), max(CYCLE_CELLS, len(batch) // 4))
        own = batch.covariates.categories[0][:n]
        covariates = batch.covariates.rows(slice(n)).with_batch(own[torch.randperm(n, device=own.device)])
        # cells in another batch, decoded, are no data
        with statistics_kept(self.encoder, self.decoder):
            logits, _ = self.decode_logits(z[:n], covariates)
            mean = self.scale(logits)
            if self.gene_likelihood != "gaussian":
                mean = batch.library[:n].unsqueeze(-1) * mean
            again = self.code(self.encode(mean, covariates))
        return (again - code[:n]).square().sum(-1).mean()

    @torch.no_grad()
    def evaluate(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return reconstruction and KL (without log Z for bits) at one hard draw, and the code; `(n_cells, ...)` each."""
        parameters = self.encode(batch.x, batch.covariates)
        z = self.sample_code(parameters)
        reconstruction = -self.log_likelihood(batch, z)[1]
        if isinstance(self.prior, DiscretePrior):
            q = torch.sigmoid(parameters)
            return reconstruction, -entropy(parameters) + self.prior.expected_energy(q, z), q
        posterior = self.normal(parameters)
        return reconstruction, self.prior.kl(posterior, z), posterior.loc
