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
from qbmvae.model.expression_space import ExpressionSpace
from qbmvae.model.host import Host
from samplers.errors import InputError, nearest

Representation = Literal["expression", "denoised", "probabilities", "logits", "bits", "arcsine"]
DEFAULT = "expression"
REPRESENTATIONS = get_args(Representation)
#: Those in expression space, and those that any prior has.
IN_EXPRESSION_SPACE = ("expression", "denoised")
CONTINUOUS = (*IN_EXPRESSION_SPACE, "probabilities")
#: Where minified data keep the coordinates that need counts.
EXPRESSION_KEY = "_qbmvae_expression"
#: Mean and components of the axes, see `expression_space.principal_components`.
Axes = tuple[torch.Tensor, torch.Tensor]


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
            "expression" (default): each gene's expected rate given the cell's code and counts, with the covariates
            averaged out, see `qbmvae.model.expression_space`; on the principal components of the decoded expression of
            training cells, fixed when training ends. "denoised": the same of the code alone. Of the code itself:
            "probabilities" q, "logits", "bits" (q > 1/2, in {0, 1}) and "arcsine" :math:`2 \arcsin \sqrt{q}` (the
            Fisher-Rao coordinates of a Bernoulli). A continuous prior has the first three; its "probabilities" are the
            posterior's location.
        batch_size
            Cells at once.
        return_dist
            Return the posterior's mean and variance instead, as scvi-tools does.
        n_components
            Leading components of "expression" and "denoised"; all `n_latent` by default.

        Returns
        -------
        `(n_cells, n_latent)` float32.
        """
        vae, chosen = self.module.vae, self._known(representation)
        if return_dist:
            parameters = self._posterior_parameters(adata, indices, batch_size)
            if vae.prior.discrete:
                q = torch.sigmoid(parameters)
                return q.numpy(), (q * (1 - q)).numpy()
            posterior = vae.normal(parameters)
            return posterior.loc.numpy(), posterior.scale.square().numpy()
        self._check_if_trained(warn=False)
        found = [x for _, x in self._embedded(adata, indices, batch_size, chosen, n_components)]
        if found:
            return np.concatenate(found)
        width = n_components if chosen in IN_EXPRESSION_SPACE else None
        return np.zeros((0, vae.n_latent), dtype=np.float32)[:, :width]

    def _embedded(
        self, adata: Any, indices: Any, batch_size: int | None, representation: str, n_components: int | None = None
    ) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
        """Yield the posterior's parameters of some cells and their representation."""
        parts = self._parts(adata, indices, batch_size)
        if representation not in IN_EXPRESSION_SPACE:
            yield from ((parameters, self._represent(parameters, representation)) for parameters, _ in parts)
        elif representation == "expression" and self._is_minified(adata):
            # minified data come in one part
            yield from ((parameters, self._kept_expression(indices)[:, :n_components]) for parameters, _ in parts)
        else:
            space, (mean, components) = self._space_and_axes(adata, indices, batch_size)
            for parameters, batch in parts:
                code = self.module.vae.code(parameters)
                near = (
                    space.decoded(code)
                    if representation == "denoised" or batch is None
                    else space.expected(code, batch)
                )
                yield parameters, expression_space.coordinates(near, mean, components).numpy()[:, :n_components]

    def _represent(self, parameters: torch.Tensor, representation: str) -> np.ndarray:
        """Return a representation of the posterior's parameters that needs nothing else, cell by cell."""
        code = self.module.vae.code(parameters)
        match representation:
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
        if not self.module.vae.prior.discrete and chosen not in CONTINUOUS:
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
        from qbmvae.data import embedding_writer

        embedding_writer.check(Path(path))
        vae, chosen = self.module.vae, self._known(representation)
        self._check_if_trained(warn=False)
        adata = self._validate_anndata(adata)
        width, n_bits = vae.n_latent, vae.n_latent if vae.prior.discrete else 0
        with embedding_writer.writer(Path(path), adata.obs, width, n_bits) as write:
            for parameters, x in self._embedded(adata, None, batch_size, chosen):
                write(x, self._represent(parameters, "bits") if n_bits else None)
        return adata.n_obs, width

    def get_codes(self, adata: AnnData | None = None, indices: Sequence[int] | None = None) -> np.ndarray:
        """Return the bits of each cell, `(n_cells, n_latent)` uint8."""
        return np.asarray(self.get_latent_representation(adata, indices, representation="bits"), dtype=np.uint8)

    def _posterior_parameters(self, adata: Any, indices: Any, batch_size: int | None) -> torch.Tensor:
        """Return bit logits, or location and log variance, `(n_cells, ...)` on the CPU."""
        self._check_if_trained(warn=False)
        parts = [parameters for parameters, _ in self._parts(adata, indices, batch_size)]
        return torch.cat(parts) if parts else torch.zeros(0, self.module.vae.posterior.out_features)

    def _is_minified(self, adata: Any) -> bool:
        return self.minified_data_type is not None and (adata is None or adata is self.adata)

    def _parts(self, adata: Any, indices: Any, batch_size: int | None) -> Iterator[tuple[torch.Tensor, Batch | None]]:
        """Yield the posterior's parameters on the CPU, with the cells they belong to; minified data hold no counts."""
        vae = self.module.vae
        if self._is_minified(adata):
            manager = self.adata_manager
            q = torch.from_numpy(np.asarray(manager.get_from_registry("latent_qzm"), dtype=np.float32))
            variance = torch.from_numpy(np.asarray(manager.get_from_registry("latent_qzv"), dtype=np.float32))
            rows = slice(None) if indices is None else np.asarray(indices)
            if vae.prior.discrete:
                yield torch.logit(q.clamp(1e-6, 1 - 1e-6))[rows], None
            else:
                yield torch.cat([q, variance.clamp(min=1e-8).log()], -1)[rows], None
            return
        for batch in self._batches(adata, indices, batch_size):
            yield vae.encode(batch.x, batch.covariates).cpu(), batch

    def _batches(self, adata: Any, indices: Any, batch_size: int | None) -> Iterator[Batch]:
        source = self._source(adata, indices)
        if not len(source):
            return iter(())
        self.module.eval()
        return source.epoch(batch_size or 1024, None, device=self.device)

    # -- expression space -------------------------------------------------------------------------------------------

    def minify_adata(self, *args: Any, **kwargs: Any) -> None:
        """Replace the counts by the posterior's parameters, as scvi-tools does; the default embedding is kept too."""
        kept = self.get_latent_representation() if self.is_trained_ else None
        super().minify_adata(*args, **kwargs)  # type: ignore[misc]
        if kept is not None and self.adata is not None:
            self.adata.obsm[EXPRESSION_KEY] = kept

    def _kept_expression(self, indices: Any) -> np.ndarray:
        adata = self.adata
        if adata is None or EXPRESSION_KEY not in adata.obsm:
            raise InputError(
                f"'expression' needs the counts, and these minified data lack obsm[{EXPRESSION_KEY!r}]: minify with "
                "model.minify_adata(), or use representation='denoised'"
            )
        kept = np.asarray(adata.obsm[EXPRESSION_KEY], dtype=np.float32)
        return kept if indices is None else kept[np.asarray(indices)]

    def _space(self, library: float) -> ExpressionSpace:
        return ExpressionSpace(self.module.vae, self.module.averaged_categories.tolist(), library, self.device)

    def _space_and_axes(self, adata: Any, indices: Any, batch_size: int | None) -> tuple[ExpressionSpace, Axes]:
        """Return what training has fixed; while it goes on, what these very cells give."""
        module = self.module
        if module.has_expression_axes:
            axes = module.expression_mean, module.expression_components
            return self._space(float(module.expression_library)), axes
        return self._find_axes(adata, indices, batch_size)

    def _find_axes(self, adata: Any, indices: Any, batch_size: int | None) -> tuple[ExpressionSpace, Axes]:
        codes, libraries = [], []
        for parameters, batch in self._parts(adata, indices, batch_size):
            codes.append(self.module.vae.code(parameters))
            if batch is not None:
                libraries.append(batch.library.cpu())
        space = self._space(float(torch.cat(libraries).median()) if libraries else 1e4)
        return space, expression_space.principal_components(space.decoded(torch.cat(codes)), self.module.n_latent)

    def _fix_expression_axes(self, seed: int) -> None:
        """Find the axes of expression space on training cells; a model of a query keeps its reference's."""
        module, cells = self.module, self.train_indices_
        if cells is None or (module.vae.frozen_statistics and module.has_expression_axes):
            return
        if len(cells) > expression_space.CELLS:
            cells = np.random.default_rng(seed).choice(cells, expression_space.CELLS, replace=False)
        space, (mean, components) = self._find_axes(None, np.sort(cells), None)
        module.expression_mean.copy_(mean)
        module.expression_components.copy_(components)
        module.expression_library.fill_(space.library)
