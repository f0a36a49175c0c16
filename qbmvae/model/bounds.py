"""What a trained `QBMVAE` says of cells in nats: bounds and energies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from anndata import AnnData

from qbmvae.core.priors.base import DiscretePrior, entropy
from qbmvae.model.host import Host
from samplers.errors import InputError

#: Sweeps of the first estimate of log Z, and its largest standard error, in nats, for which it is the last.
QUICK_SWEEPS, LOG_Z_ERROR = 64, 0.003


class InferenceMixin(Host):
    """Inference of `QBMVAE`; every number is in nats, every array in the order of `obs_names`."""

    @torch.inference_mode()
    def _bounds(self, adata: Any, indices: Any, batch_size: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
        self._check_if_trained(warn=False)
        self._refuse_minified("get_elbo and get_reconstruction_error")
        reconstruction, kl = [], []
        with seeded(seed):
            for batch in self._batches(adata, indices, batch_size):
                r, k, _ = self.module.vae.evaluate(batch)
                reconstruction.append(r.cpu())
                kl.append(k.cpu())
        log_z = float(self.module.log_partition)
        return torch.cat(reconstruction).numpy(), torch.cat(kl).numpy() + log_z

    def get_elbo(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        seed: int = 0,
        **_: Any,
    ) -> float | np.ndarray:
        """Return the evidence lower bound at hard bits and KL weight 1, in nats a cell; higher is better.

        Parameters
        ----------
        adata, indices, batch_size
            Cells, see `get_latent_representation`.
        return_mean
            The mean, or one value a cell.
        seed
            Of the draw of the bits.
        """
        reconstruction, kl = self._bounds(adata, indices, batch_size, seed)
        elbo = -(reconstruction + kl)
        return float(elbo.mean()) if return_mean else elbo

    def get_reconstruction_error(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        seed: int = 0,
        **_: Any,
    ) -> dict[str, Any]:
        """Return {"reconstruction_loss": -log p(x | z)} at hard bits, in nats a cell; parameters as in `get_elbo`."""
        reconstruction, _kl = self._bounds(adata, indices, batch_size, seed)
        return {"reconstruction_loss": float(reconstruction.mean()) if return_mean else reconstruction}

    @torch.inference_mode()
    def get_marginal_ll(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        n_mc_samples: int = 100,
        batch_size: int | None = None,
        return_mean: bool = True,
        seed: int = 0,
        **_: Any,
    ) -> float | np.ndarray:
        """Return the importance-weighted bound on log p(x) (IWAE, Burda et al. 2016), in nats a cell; higher is better.

        Parameters
        ----------
        adata, indices, batch_size, return_mean, seed
            As in `get_elbo`.
        n_mc_samples
            Draws of the code a cell; the bound tightens with more.
        """
        self._check_if_trained(warn=False)
        self._refuse_minified("get_marginal_ll")
        vae, log_z = self.module.vae, self.module.log_partition.float()
        bounds = []
        with seeded(seed):
            for batch in self._batches(adata, indices, batch_size or 256):
                parameters = vae.encode(batch.x, batch.covariates)
                log_weights = []
                for _draw in range(n_mc_samples):
                    z = vae.sample_code(parameters)
                    if isinstance(vae.prior, DiscretePrior):
                        log_q = (z * parameters - torch.nn.functional.softplus(parameters)).sum(-1)
                        log_p = -vae.prior.energy(z) - log_z
                    else:
                        log_q = vae.normal(parameters).log_prob(z).sum(-1)
                        log_p = vae.prior.log_prob(z)
                    log_weights.append(vae.log_likelihood(batch, z)[1] + log_p - log_q)
                bounds.append((torch.stack(log_weights).logsumexp(0) - np.log(n_mc_samples)).cpu())
        values = torch.cat(bounds).numpy()
        return float(values.mean()) if return_mean else values

    # -- the prior's view of cells ----------------------------------------------------------------------------------

    @torch.inference_mode()
    def get_energy(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        kind: Literal["prior", "free", "bound"] = "prior",
        batch_size: int | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Return an energy of each cell, `(n_cells,)` in nats: high for cells unlike the training data.

        Parameters
        ----------
        adata, indices, batch_size, seed
            As in `get_elbo`.
        kind
            "prior": the prior's expected energy of the cell's code, -log p(z) up to log Z. "free": that less the
            entropy of the posterior, KL(q || p) up to log Z. "bound": the negative ELBO, which also sees how well the
            counts are explained: the best score of cells out of the distribution.
        """
        if kind not in ("prior", "free", "bound"):
            raise InputError(f"there is no energy {kind!r}: 'prior', 'free' or 'bound'")
        if kind == "bound":
            return -np.asarray(self.get_elbo(adata, indices, batch_size, return_mean=False, seed=seed))
        prior = self._boltzmann("get_energy")
        parameters = self._posterior_parameters(adata, indices, batch_size).to(self.device)
        with seeded(seed):
            z = torch.bernoulli(torch.sigmoid(parameters))
        q = torch.sigmoid(parameters)
        energy = prior.expected_energy(q, z)
        return (energy - entropy(parameters) if kind == "free" else energy).cpu().numpy()

    def get_log_partition(self, fresh: bool = False, seed: int = 0) -> tuple[float, float]:
        """Return log Z of the prior over the bits and its standard error, in nats.

        Parameters
        ----------
        fresh
            Estimate it anew instead of returning the value measured at the end of training.
        seed
            Of a fresh estimate.
        """
        self._boltzmann("get_log_partition")
        if fresh or not self.is_trained_:
            return self._measure_log_partition(seed)
        return float(self.module.log_partition), float(self.module.log_partition_error)

    def _measure_log_partition(self, seed: int) -> tuple[float, float]:
        prior = self.module.vae.prior
        if not isinstance(prior, DiscretePrior):
            return 0.0, 0.0
        if (closed := prior.log_partition()) is not None:
            return float(closed.detach()), 0.0
        from samplers.partition_function import log_partition

        problem = prior.problem()
        value, error = log_partition(problem, seed=seed, num_sweeps=QUICK_SWEEPS)
        if error > LOG_Z_ERROR:
            value, error = log_partition(problem, seed=seed)
        return float(value), float(error)

    def _boltzmann(self, what: str) -> DiscretePrior:
        prior = self.module.vae.prior
        if not isinstance(prior, DiscretePrior):
            raise InputError(f"{what} needs a prior over bits; this model's prior is continuous")
        return prior

    def _refuse_minified(self, what: str) -> None:
        if self.minified_data_type is not None:
            raise InputError(f"{what} needs the counts, which a minified model no longer holds")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run torch's draws from `seed` and leave the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
