"""The code of each cell that a trained `QBMVAE` finds, in every representation, in memory or written to a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from anndata import AnnData

from qbmvae.core.vae import Batch
from qbmvae.model import expression_space
from qbmvae.model.host import Host
from samplers.errors import InputError, nearest

Representation = Literal["probabilities", "logits", "bits", "arcsine", "denoised"]
DEFAULT = "denoised"
REPRESENTATIONS = get_args(Representation)


class LatentMixin(Host):
    """Codes of cells; every array in the order of `obs_names`."""

    @torch.inference_mode()
    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        representation: Representation | None = None,
        batch_size: int | None = None,
        return_dist: bool = False,
        n_components: int | None = None,
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
            "denoised" (default): coordinates of the decoded expression, log1p(1e4 x expected frequencies) with the
            covariates averaged out, on its principal components over training cells, fixed when training ends. Of the
            code itself: "probabilities" q, "logits", "bits" (q > 1/2, in {0, 1}) and "arcsine"
            :math:`2 \arcsin \sqrt{q}` (the Fisher-Rao coordinates of a Bernoulli). A continuous prior has
            "probabilities" in the sense of the posterior's location, and "denoised".
        batch_size
            Cells at once.
        return_dist
            Return the posterior's mean and variance instead, as scvi-tools does.
        n_components
            Leading components of "denoised"; all `n_latent` by default.

        Returns
        -------
        `(n_cells, n_latent)` float32.
        """
        vae, chosen = self.module.vae, self._known(representation)
        parameters = self._posterior_parameters(adata, indices, batch_size)
        if return_dist:
            if vae.prior.discrete:
                q = torch.sigmoid(parameters)
                return q.numpy(), (q * (1 - q)).numpy()
            posterior = vae.normal(parameters)
            return posterior.loc.numpy(), posterior.scale.square().numpy()
        return self._represent(parameters, chosen, n_components)

    def _represent(self, parameters: torch.Tensor, representation: str, n_components: int | None = None) -> np.ndarray:
        """Return a representation of the posterior's parameters, cell by cell."""
        code = self.module.vae.code(parameters)
        match representation:
            case "denoised":
                return self._denoised(code, n_components)
            case "logits":
                return parameters.numpy()
            case "bits":
                return (code > 0.5).float().numpy()
            case "arcsine":
                return (2 * torch.asin(code.clamp(0, 1).sqrt())).numpy()
        return code.numpy()

    def _known(self, representation: str | None) -> str:
        chosen = representation or DEFAULT
        if chosen not in REPRESENTATIONS:
            raise InputError(f"there is no representation {chosen!r}{nearest(chosen, REPRESENTATIONS)}")
        if not self.module.vae.prior.discrete and chosen not in ("probabilities", "denoised"):
            raise InputError(f"a continuous prior has no {chosen!r}: use representation=None or 'denoised'")
        return chosen

    @torch.inference_mode()
    def write_latent_representation(
        self,
        path: str | Path,
        adata: AnnData | None = None,
        representation: Representation | None = None,
        batch_size: int | None = None,
    ) -> tuple[int, int]:
        """Write the code of each cell as it is computed, keyed by `obs_names`; memory does not grow with the cells.

        Parameters
        ----------
        path
            `.h5ad` (X and `.obsm["X_qbmvae"]`; hard bits in `.obsm["codes"]`; `.obs` is kept), `.parquet` (one column a
            dimension, the index "obs_names") or `.npz` (arrays "obs_names", "X_qbmvae" and, for bits, "codes");
            written atomically.
        adata
            The model's own data by default.
        representation
            As in `get_latent_representation`.
        batch_size
            Cells at once.

        Returns
        -------
        The shape of what was written.
        """
        from qbmvae.data import latents

        latents.check(Path(path))
        vae, chosen = self.module.vae, self._known(representation)
        self._check_if_trained(warn=False)
        adata = self._validate_anndata(adata)
        width, n_bits = vae.n_latent, vae.n_latent if vae.prior.discrete else 0
        parts = self._parameter_batches(adata, None, batch_size)
        with latents.writer(Path(path), adata.obs, width, n_bits) as write:
            for parameters in parts:
                codes = self._represent(parameters, "bits") if n_bits else None
                write(self._represent(parameters, chosen), codes)
        return adata.n_obs, width

    def get_codes(self, adata: AnnData | None = None, indices: Sequence[int] | None = None) -> np.ndarray:
        """Return the bits of each cell, `(n_cells, n_latent)` uint8."""
        return np.asarray(self.get_latent_representation(adata, indices, representation="bits"), dtype=np.uint8)

    def _posterior_parameters(self, adata: Any, indices: Any, batch_size: int | None) -> torch.Tensor:
        """Return bit logits, or location and log variance, `(n_cells, ...)` on the CPU."""
        self._check_if_trained(warn=False)
        parts = list(self._parameter_batches(adata, indices, batch_size))
        return torch.cat(parts) if parts else torch.zeros(0, self.module.vae.posterior.out_features)

    def _parameter_batches(self, adata: Any, indices: Any, batch_size: int | None) -> Iterator[torch.Tensor]:
        vae = self.module.vae
        if self.minified_data_type is not None and (adata is None or adata is self.adata):
            manager = self.adata_manager
            q = torch.from_numpy(np.asarray(manager.get_from_registry("latent_qzm"), dtype=np.float32))
            variance = torch.from_numpy(np.asarray(manager.get_from_registry("latent_qzv"), dtype=np.float32))
            rows = slice(None) if indices is None else np.asarray(indices)
            if vae.prior.discrete:
                yield torch.logit(q.clamp(1e-6, 1 - 1e-6))[rows]
            else:
                yield torch.cat([q, variance.clamp(min=1e-8).log()], -1)[rows]
            return
        for batch in self._batches(adata, indices, batch_size):
            yield vae.encode(batch.x, batch.covariates).cpu()

    def _batches(self, adata: Any, indices: Any, batch_size: int | None) -> Iterator[Batch]:
        source = self._source(adata, indices)
        if not len(source):
            return iter(())
        self.module.eval()
        return source.epoch(batch_size or 1024, None, device=self.device)

    def _denoised(self, code: torch.Tensor, n_components: int | None) -> np.ndarray:
        """Return coordinates in expression space; while training goes on, on the axes of these very cells."""
        module = self.module
        if module.has_expression_axes:
            axes = module.expression_mean, module.expression_components
        else:
            axes = expression_space.principal_components(self._decoded(code), module.n_latent)
        # chunk by chunk: the expression of many cells would not fit
        parts = [
            expression_space.coordinates(self._decoded(part), axes[0], axes[1][:n_components])
            for part in code.split(expression_space.CELLS)
        ]
        return torch.cat(parts).numpy()

    def _decoded(self, code: torch.Tensor) -> torch.Tensor:
        module = self.module
        return expression_space.decoded(module.vae, code, module.averaged_categories.tolist(), self.device)

    def _fix_expression_axes(self, seed: int) -> None:
        """Find the axes of "denoised" on training cells; a model of a query keeps its reference's."""
        module, cells = self.module, self.train_indices_
        if cells is None or (module.vae.frozen_statistics and module.has_expression_axes):
            return
        if len(cells) > expression_space.CELLS:
            cells = np.random.default_rng(seed).choice(cells, expression_space.CELLS, replace=False)
        code = module.vae.code(self._posterior_parameters(None, np.sort(cells), None))
        mean, components = expression_space.principal_components(self._decoded(code), module.n_latent)
        module.expression_mean.copy_(mean)
        module.expression_components.copy_(components)
