"""The VAE as an scvi-tools module: what its mixins call.

Parameters
----------
z
    Bits, `(n_cells, n_latent)`.
library, log_library
    Total counts, and their logarithm.
covariates
    Codes and values of the covariates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from scvi import REGISTRY_KEYS
from scvi.distributions import NegativeBinomial, Normal, Poisson, ZeroInflatedNegativeBinomial
from scvi.module.base import BaseMinifiedModeModuleClass, LossOutput, auto_move_data
from torch import Tensor
from torch.distributions import Distribution
from torch.distributions import Normal as TorchNormal

from qbmvae.core.networks import Covariates
from qbmvae.core.priors.base import DiscretePrior, entropy
from qbmvae.core.vae import VAE
from qbmvae.model.aligned_space import AlignedSpace
from qbmvae.model.label_units import LabelUnits


class BitPosterior(TorchNormal):
    """Independent bits, with the moments under the names that scvi-tools' mixins read (`loc`, `scale`)."""

    def __init__(self, logits: Tensor):
        self.logits = logits
        q = torch.sigmoid(logits)
        super().__init__(q, (q * (1 - q)).sqrt().clamp(min=1e-6), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Return hard bits."""
        shape = (*torch.Size(sample_shape), *self.logits.shape)
        return torch.bernoulli(torch.sigmoid(self.logits).expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability of bits."""
        return -torch.nn.functional.binary_cross_entropy_with_logits(
            self.logits.expand_as(value), value, reduction="none"
        )


class QBMVAEModule(BaseMinifiedModeModuleClass):
    """Wraps `qbmvae.core.vae.VAE` and the label units.

    Parameters
    ----------
    n_labels
        How many labels of each column are units of the machine; empty for none.
    **options
        Of `VAE`.
    """

    use_observed_lib_size = True
    log_partition: Tensor
    log_partition_error: Tensor
    expression_mean: Tensor
    expression_components: Tensor
    expression_library: Tensor
    averaged_categories: Tensor

    def __init__(self, n_labels: Sequence[int] = (), **options: Any):
        super().__init__()
        self.vae = VAE(**options)
        self.labels = LabelUnits(self.vae.prior, n_labels) if n_labels else None
        self.gene_likelihood = "normal" if self.vae.gene_likelihood == "gaussian" else self.vae.gene_likelihood
        self.n_latent, self.n_batch = self.vae.n_latent, self.vae.n_categories[0]
        # log Z after training: KL(q || p) of a cell is complete with it
        self.register_buffer("log_partition", torch.zeros((), dtype=torch.float64))
        self.register_buffer("log_partition_error", torch.zeros((), dtype=torch.float64))
        # where the representations "expression" and "denoised" place cells; zero until training has found it
        self.register_buffer("expression_mean", torch.zeros(self.vae.n_input))
        self.register_buffer("expression_components", torch.zeros(self.n_latent, self.vae.n_input))
        self.register_buffer("expression_library", torch.zeros((), dtype=torch.float64))
        # where the default representation places them
        self.aligned = AlignedSpace(self.n_latent)
        # categories that they average over: those of the first training, so that a query's new ones move no cell
        self.register_buffer("averaged_categories", torch.tensor(self.vae.n_categories))

    @property
    def device(self) -> torch.device:
        """Where the weights are; scvi-tools' own asks every one of them, at each call."""
        return self.vae.posterior.weight.device

    @property
    def has_expression_axes(self) -> bool:
        """Whether training has fixed the axes of the representations "expression" and "denoised"."""
        # the first says it: torch would share a look at all of them among threads, which then spin for a while
        return bool(self.expression_components[0].any())

    def covariates(self, tensors: dict[str, Tensor]) -> Covariates:
        """Return the covariates of a minibatch of scvi-tools' loader."""
        categories = (tensors[REGISTRY_KEYS.BATCH_KEY].long().flatten(),)
        if (cats := tensors.get(REGISTRY_KEYS.CAT_COVS_KEY)) is not None:
            categories += tuple(cats.long().T)
        return Covariates(categories, tensors.get(REGISTRY_KEYS.CONT_COVS_KEY))

    def _get_inference_input(self, tensors: dict[str, Tensor], full_forward_pass: bool = False) -> dict[str, Any]:
        loader = "qzm" if self.minified_data_type is not None and not full_forward_pass else "x"
        covariates = self.covariates(tensors)
        library = tensors.get(REGISTRY_KEYS.SIZE_FACTOR_KEY)
        if loader == "qzm":
            return {
                "qzm": tensors[REGISTRY_KEYS.LATENT_QZM_KEY],
                "qzv": tensors[REGISTRY_KEYS.LATENT_QZV_KEY],
                "library": tensors[REGISTRY_KEYS.OBSERVED_LIB_SIZE] if library is None else library,
            }
        return {"x": tensors[REGISTRY_KEYS.X_KEY], "covariates": covariates, "library": library}

    def _outputs(self, parameters: Tensor, library: Tensor, n_samples: int) -> dict[str, Any]:
        if self.vae.prior.discrete:
            qz: TorchNormal = BitPosterior(parameters)
        else:
            qz = self.vae.normal(parameters)
        z = qz.sample() if n_samples == 1 else qz.sample((n_samples,))
        library = library.reshape(-1, 1)
        return {"z": z, "qz": qz, "qzm": qz.loc, "ql": None, "library": library.log(), "parameters": parameters}

    @auto_move_data
    def _regular_inference(
        self, x: Tensor, covariates: Covariates, library: Tensor | None = None, n_samples: int = 1
    ) -> dict[str, Any]:
        return self._outputs(self.vae.encode(x, covariates), x.sum(1) if library is None else library, n_samples)

    @auto_move_data
    def _cached_inference(self, qzm: Tensor, qzv: Tensor, library: Tensor, n_samples: int = 1) -> dict[str, Any]:
        if self.vae.prior.discrete:
            parameters = torch.logit(qzm.clamp(1e-6, 1 - 1e-6))
        else:
            parameters = torch.cat([qzm, qzv.clamp(min=1e-8).log()], -1)
        return self._outputs(parameters, library, n_samples)

    def _get_generative_input(self, tensors: dict[str, Tensor], inference_outputs: dict[str, Any]) -> dict[str, Any]:
        return {
            "z": inference_outputs["z"],
            "library": inference_outputs["library"],
            "covariates": self.covariates(tensors),
        }

    @auto_move_data
    def generative(
        self, z: Tensor, library: Tensor, covariates: Covariates, transform_batch: int | Tensor | None = None
    ) -> dict[str, Any]:
        """Return the likelihood p(x | z) under "px".

        Parameters
        ----------
        transform_batch
            Batch to decode as; each cell's own by default.
        """
        if transform_batch is not None:
            own = covariates.categories[0]
            covariates = covariates.with_batch(torch.full_like(own, int(transform_batch)))
        if z.ndim == 3:
            flat = [self.generative(part, library, covariates)["px"] for part in z]
            return {"px": _stack(flat)}
        return {"px": self.likelihood(z, library, covariates)}

    def likelihood(self, z: Tensor, log_library: Tensor, covariates: Covariates) -> Distribution:
        """Return p(x | z) as an scvi-tools distribution."""
        vae = self.vae
        logits, hidden = vae.decode_logits(z, covariates)
        if vae.gene_likelihood == "gaussian":
            return Normal(logits, vae.log_dispersions(covariates).exp().expand_as(logits), normal_mu=logits)
        scale = vae.scale(logits)
        mean = log_library.exp() * scale
        if vae.gene_likelihood == "poisson":
            return Poisson(mean, scale=scale)
        theta = vae.log_dispersions(covariates).exp().expand_as(mean)
        if vae.gene_likelihood == "zinb":
            dropout = vae.dropout_output(hidden, covariates)
            return ZeroInflatedNegativeBinomial(mu=mean, theta=theta, zi_logits=dropout, scale=scale)
        return NegativeBinomial(mu=mean, theta=theta, scale=scale)

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Any],
        generative_outputs: dict[str, Any],
        kl_weight: float = 1.0,
    ) -> LossOutput:
        """Return the evaluation loss: reconstruction and the whole KL at one hard draw (training has its own loop).

        Parameters
        ----------
        tensors
            A minibatch as scvi-tools' loader gives it.
        inference_outputs, generative_outputs
            What `inference` and `generative` return.
        kl_weight
            Factor on the KL divergence.
        """
        reconstruction = -generative_outputs["px"].log_prob(tensors[REGISTRY_KEYS.X_KEY]).sum(-1)
        z, qz = inference_outputs["z"], inference_outputs["qz"]
        if isinstance(self.vae.prior, DiscretePrior):
            kl = -entropy(qz.logits) + self.vae.prior.expected_energy(qz.loc, z) + self.log_partition.float()
        else:
            kl = self.vae.prior.kl(qz, z)
        return LossOutput((reconstruction + kl_weight * kl).mean(), reconstruction, kl)

    @torch.inference_mode()
    def sample(
        self, tensors: dict[str, Tensor], n_samples: int = 1, generative_kwargs: dict[str, Any] | None = None
    ) -> Tensor:
        """Return posterior predictive counts, `(n_cells, n_genes)` or `(n_cells, n_genes, n_samples)`.

        Parameters
        ----------
        tensors
            A minibatch as scvi-tools' loader gives it.
        n_samples
            Counts of each cell.
        generative_kwargs
            Arguments of `generative`.
        """
        _, outputs = self.forward(
            tensors,
            inference_kwargs={"n_samples": n_samples},
            generative_kwargs=generative_kwargs or {},
            compute_loss=False,
        )
        samples = outputs["px"].sample()
        return samples.permute(1, 2, 0).cpu() if n_samples > 1 else samples.cpu()


def _stack(parts: list[Any]) -> Distribution:
    """Stack the distributions of several draws of the code along a new first axis."""
    first = parts[0]

    def stack(name: str) -> Tensor:
        return torch.stack([getattr(p, name) for p in parts])

    if isinstance(first, ZeroInflatedNegativeBinomial):
        return ZeroInflatedNegativeBinomial(
            mu=stack("mu"), theta=stack("theta"), zi_logits=stack("zi_logits"), scale=stack("scale")
        )
    if isinstance(first, NegativeBinomial):
        return NegativeBinomial(mu=stack("mu"), theta=stack("theta"), scale=stack("scale"))
    if isinstance(first, Poisson):
        return Poisson(stack("rate"), scale=stack("scale"))
    return Normal(stack("loc"), stack("scale"), normal_mu=stack("loc"))
