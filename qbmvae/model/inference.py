"""What a trained `QBMVAE` says of cells: codes, bounds, energies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from anndata import AnnData

from qbmvae.core.priors.base import DiscretePrior, entropy
from qbmvae.core.vae import Batch
from qbmvae.model.host import Host
from samplers.errors import InputError, nearest

Representation = Literal["probabilities", "logits", "bits", "arcsine", "denoised"]
REPRESENTATIONS = ("probabilities", "logits", "bits", "arcsine", "denoised")


class InferenceMixin(Host):
    """Inference of `QBMVAE`; every number is in nats, every array in the order of `obs_names`."""

    @torch.inference_mode()
    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        representation: Representation | None = None,
        batch_size: int | None = None,
        return_dist: bool = False,
        n_components: int = 50,
        **_: Any,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        r"""Return the code of each cell; deterministic, never a random draw.

        Parameters
        ----------
        adata
            The model's own data by default; other data are aligned by gene names.
        indices
            Cells to use; all by default.
        representation
            "probabilities" q (default), "logits", "bits" (q > 1/2, in {0, 1}), "arcsine"
            :math:`2 \arcsin \sqrt{q}` (the Fisher-Rao coordinates of a Bernoulli), or "denoised" (principal
            components of the decoded log expression averaged over batches, `(n_cells, n_components)`). A continuous
            prior has "probabilities" in the sense of the posterior's location, and "denoised".
        batch_size
            Cells at once.
        return_dist
            Return the posterior's mean and variance instead, as scvi-tools does.
        n_components
            Of "denoised".

        Returns
        -------
        `(n_cells, n_latent)` float32.
        """
        chosen = representation or "probabilities"
        if chosen not in REPRESENTATIONS:
            raise InputError(f"there is no representation {chosen!r}{nearest(chosen, REPRESENTATIONS)}")
        vae = self.module.vae
        if not vae.prior.discrete and chosen not in ("probabilities", "denoised"):
            raise InputError(f"a continuous prior has no {chosen!r}: use representation=None or 'denoised'")
        parameters = self._posterior_parameters(adata, indices, batch_size)
        if return_dist:
            if vae.prior.discrete:
                q = torch.sigmoid(parameters)
                return q.numpy(), (q * (1 - q)).numpy()
            posterior = vae.normal(parameters)
            return posterior.loc.numpy(), posterior.scale.square().numpy()
        if chosen == "denoised":
            return self._denoised(vae.code(parameters), n_components)
        return self._represent(parameters, chosen)

    def _represent(self, parameters: torch.Tensor, representation: str) -> np.ndarray:
        """Return a cell-by-cell representation of the posterior's parameters."""
        code = self.module.vae.code(parameters)
        match representation:
            case "logits":
                return parameters.numpy()
            case "bits":
                return (code > 0.5).float().numpy()
            case "arcsine":
                return (2 * torch.asin(code.clamp(0, 1).sqrt())).numpy()
        return code.numpy()

    @torch.inference_mode()
    def write_latent_representation(
        self,
        path: str | Path,
        adata: AnnData | None = None,
        representation: Representation | None = None,
        batch_size: int | None = None,
    ) -> Path:
        """Write the code of each cell as it is computed, keyed by `obs_names`; memory does not grow with the cells.

        Parameters
        ----------
        path
            `.h5ad` (in `.obsm["X_qbmvae"]`), `.parquet` (one column a bit, the index "obs_names") or `.npz` (arrays
            "obs_names" and "X_qbmvae"); written atomically.
        adata
            The model's own data by default.
        representation
            As in `get_latent_representation`, except "denoised", whose components need all cells at once.
        batch_size
            Cells at once.
        """
        from qbmvae.data.latents import writer

        chosen = representation or "probabilities"
        if chosen not in REPRESENTATIONS or chosen == "denoised":
            raise InputError(
                f"{chosen!r} cannot be written in a stream: use get_latent_representation, or 'probabilities'"
            )
        self._check_if_trained(warn=False)
        adata = self._validate_anndata(adata)
        vae = self.module.vae
        with writer(Path(path), adata.obs_names, vae.n_latent) as write:
            for batch in self._batches(adata, None, batch_size):
                write(self._represent(vae.encode(batch.x, batch.covariates).cpu(), chosen))
        return Path(path)

    def get_codes(self, adata: AnnData | None = None, indices: Sequence[int] | None = None) -> np.ndarray:
        """Return the bits of each cell, `(n_cells, n_latent)` uint8."""
        return np.asarray(self.get_latent_representation(adata, indices, representation="bits"), dtype=np.uint8)

    def _posterior_parameters(self, adata: Any, indices: Any, batch_size: int | None) -> torch.Tensor:
        """Return bit logits, or location and log variance, `(n_cells, ...)` on the CPU."""
        self._check_if_trained(warn=False)
        if self.minified_data_type is not None and (adata is None or adata is self.adata):
            manager = self.adata_manager
            q = torch.from_numpy(np.asarray(manager.get_from_registry("latent_qzm"), dtype=np.float32))
            variance = torch.from_numpy(np.asarray(manager.get_from_registry("latent_qzv"), dtype=np.float32))
            rows = slice(None) if indices is None else np.asarray(indices)
            if self.module.vae.prior.discrete:
                return torch.logit(q.clamp(1e-6, 1 - 1e-6))[rows]
            return torch.cat([q, variance.clamp(min=1e-8).log()], -1)[rows]
        vae = self.module.vae
        parts = [vae.encode(b.x, b.covariates).cpu() for b in self._batches(adata, indices, batch_size)]
        return torch.cat(parts) if parts else torch.zeros(0, vae.posterior.out_features)

    def _batches(self, adata: Any, indices: Any, batch_size: int | None) -> Iterator[Batch]:
        source = self._source(adata, indices)
        if not len(source):
            return iter(())
        self.module.eval()
        return source.epoch(batch_size or 1024, None, device=self.device)

    def _denoised(self, code: torch.Tensor, n_components: int) -> np.ndarray:
        """Return principal components of log1p(1e4 x expected frequencies), averaged over batches."""
        from sklearn.decomposition import PCA

        from qbmvae.core.networks import Covariates

        vae, device = self.module.vae, self.device
        n_batches = vae.n_categories[0]
        rows = []
        for part in code.split(1024):
            total = torch.zeros(len(part), vae.n_input)
            for batch in range(n_batches):
                codes = tuple(torch.zeros(len(part), dtype=torch.long, device=device) for _ in vae.n_categories)
                covariates = Covariates((codes[0] + batch, *codes[1:]), None)
                scale = vae.scale(vae.decode_logits(part.to(device), covariates)[0])
                total += (scale if vae.gene_likelihood == "gaussian" else torch.log1p(1e4 * scale)).cpu()
            rows.append(total / n_batches)
        expression = torch.cat(rows).numpy()
        n = min(n_components, *expression.shape)
        return PCA(n, svd_solver="randomized", random_state=0).fit_transform(expression).astype(np.float32)

    # -- bounds -----------------------------------------------------------------------------------------------------

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

        value, error = log_partition(prior.problem(), seed=seed)
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
