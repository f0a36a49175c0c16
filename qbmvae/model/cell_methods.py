"""The public methods that say something of cells: their codes, likelihood bounds and energies."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from anndata import AnnData
from scvi.data._constants import ADATA_MINIFY_TYPE

from qbmvae.core.priors.base import entropy
from qbmvae.data import embedding_writer
from qbmvae.model import bounds, cells, embedding, labels
from qbmvae.model.embedding import Representation
from qbmvae.model.module import QBMVAEModule
from qbmvae.model.scvi_methods import ScviMethods, minified
from samplers.checks import one_of
from samplers.errors import InputError, nearest


class CellMethods(ScviMethods):
    """Methods of `QBMVAE` about cells; arrays in the order of `obs_names`, numbers in nats."""

    module: QBMVAEModule

    # -- codes ------------------------------------------------------------------------------------------------------

    @overload
    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        representation: Representation | None = None,
        batch_size: int | None = None,
        return_dist: Literal[False] = False,
        n_components: int | None = None,
        give_mean: bool = True,
        align_batches: bool | None = None,
    ) -> np.ndarray: ...

    @overload
    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        *,
        batch_size: int | None = None,
        return_dist: Literal[True],
    ) -> tuple[np.ndarray, np.ndarray]: ...

    @torch.inference_mode()
    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        representation: Representation | None = None,
        batch_size: int | None = None,
        return_dist: bool = False,
        n_components: int | None = None,
        give_mean: bool = True,
        align_batches: bool | None = None,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        r"""Return the code of each cell; deterministic, never a random draw.

        Parameters
        ----------
        adata
            The model's own data by default; other data are aligned by gene names, see `qbmvae.model.door`.
        indices
            Cells to use: positions, a mask or names, see `qbmvae.data.selection.positions`; all by default.
        representation
            "aligned" (default): 20 leading axes of expression and, with a hundredth of their variance, the principal
            components of the code, batches moved onto each other, distances between groups near measured ones, see
            `qbmvae.model.aligned_space`. "expression": each gene's expected rate given the cell's code and counts, with the
            covariates averaged out, on the principal components of training cells, see `qbmvae.model.expression_space`.
            "denoised": the same of the code alone. Of the code itself: "probabilities" q, "logits", "bits" (q > 1/2, in
            {0, 1}) and "arcsine" :math:`2 \arcsin \sqrt{q}` (the Fisher-Rao coordinates of a Bernoulli). A continuous
            prior has the first four; its "probabilities" are the posterior's location.
        batch_size
            Cells at once.
        return_dist
            Return the posterior's mean and variance instead, as scvi-tools does.
        n_components
            Leading components of "expression" and "denoised"; all `n_latent` by default.
        give_mean
            True, as scvi-tools' default; there are no random embeddings.
        align_batches
            Whether "aligned" moves the batches onto each other, as far as training fixed where to; by default as the
            model was made.

        Returns
        -------
        `(n_cells, n_latent)` float32.

        Raises
        ------
        InputError
            For an unknown representation, or one that the prior does not have.
        """
        if not give_mean:
            raise InputError("the embedding is never a random draw: return_dist=True gives the posterior's moments")
        chosen = embedding.known(self.module, representation)
        self._check_if_trained(warn=False)
        if return_dist:
            return embedding.moments(self.module.vae, cells.posterior(self, adata, indices, batch_size))
        entered = cells.enter(self, adata)
        parts = partial(cells.posteriors, self, entered, indices, batch_size)
        wanted = self._wanted(entered, indices, chosen, n_components, align_batches)
        return embedding.latent(self.module, parts, wanted)

    def write_latent_representation(
        self,
        path: str | Path,
        adata: AnnData | None = None,
        representation: Representation | None = None,
        batch_size: int | None = None,
        align_batches: bool | None = None,
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
        representation, align_batches
            As in `get_latent_representation`.
        batch_size
            Cells at once.

        Returns
        -------
        The shape of what was written.

        Raises
        ------
        InputError
            For a format that is not written, or an unknown representation.
        """
        embedding_writer.check(Path(path))
        chosen = embedding.known(self.module, representation)
        self._check_if_trained(warn=False)
        entered = cells.enter(self, adata)
        parts = partial(cells.posteriors, self, entered, None, batch_size)
        wanted = self._wanted(entered, None, chosen, align_batches=align_batches)
        return embedding.write(self.module, parts, wanted, Path(path), entered.obs)

    def get_codes(self, adata: AnnData | None = None, indices: Any = None) -> np.ndarray:
        """Return the bits of each cell, `(n_cells, n_latent)` int8 in {0, 1}."""
        return np.asarray(self.get_latent_representation(adata, indices, representation="bits"), dtype=np.int8)

    def minify_adata(
        self,
        minified_data_type: str = ADATA_MINIFY_TYPE.LATENT_POSTERIOR,
        use_latent_qzm_key: str | None = None,
        use_latent_qzv_key: str | None = None,
    ) -> None:
        """Put the posterior's parameters in the place of the counts, in a new `model.adata`; the old object stays as it is.

        Parameters
        ----------
        minified_data_type
            "latent_posterior_parameters", or "latent_posterior_parameters_with_counts" to keep the counts too.
        use_latent_qzm_key, use_latent_qzv_key
            Keys of `adata.obsm` with the posterior's mean and variance; computed by default. "aligned" and "expression"
            are kept under keys of their own.

        Raises
        ------
        InputError
            For another kind, or a key that is not there.
        """
        kinds = [str(kind) for kind in ADATA_MINIFY_TYPE]
        one_of("minified_data_type", minified_data_type, kinds)
        if self.adata is None:
            raise InputError("this model has no data of its own to minify: make or load it with adata=")
        given, obsm = (use_latent_qzm_key, use_latent_qzv_key), self.adata.obsm
        for key in given:
            if key is not None and key not in obsm:
                raise InputError(f"adata.obsm has no {key!r}{nearest(key, obsm)}")
        self._check_if_trained(warn=False)
        found = self.get_latent_representation(return_dist=True)
        moments = [found[i] if key is None else np.asarray(obsm[key]) for i, key in enumerate(given)]
        kept = {key: self.get_latent_representation(representation=name) for name, key in embedding.KEPT_KEYS.items()}
        self._libraries()
        self._attach(minified(self, minified_data_type, (moments[0], moments[1]), kept))

    # -- bounds and energies ----------------------------------------------------------------------------------------

    def get_elbo(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        seed: int = 0,
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
        cost, kl = bounds.reconstruction_and_kl(self.module, self._counts("get_elbo", adata, indices, batch_size), seed)
        return float(-(cost + kl).mean()) if return_mean else -(cost + kl)

    def get_reconstruction_error(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        batch_size: int | None = None,
        return_mean: bool = True,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Return {"reconstruction_loss": -log p(x | z)} at hard bits, in nats a cell; parameters as in `get_elbo`.

        Parameters
        ----------
        adata, indices, batch_size, return_mean, seed
            As in `get_elbo`.
        """
        batches = self._counts("get_reconstruction_error", adata, indices, batch_size)
        cost, _kl = bounds.reconstruction_and_kl(self.module, batches, seed)
        return {"reconstruction_loss": float(cost.mean()) if return_mean else cost}

    def get_marginal_ll(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        n_mc_samples: int = 100,
        batch_size: int | None = None,
        return_mean: bool = True,
        seed: int = 0,
    ) -> float | np.ndarray:
        """Return the importance-weighted bound on log p(x) (IWAE, Burda et al. 2016), in nats a cell; higher is better.

        Parameters
        ----------
        adata, indices, batch_size, return_mean, seed
            As in `get_elbo`.
        n_mc_samples
            Draws of the code a cell; the bound tightens with more.
        """
        batches = self._counts("get_marginal_ll", adata, indices, batch_size or 256)
        values = bounds.importance_weighted(self.module, batches, n_mc_samples, seed)
        return float(values.mean()) if return_mean else values

    def get_energy(
        self,
        adata: AnnData | None = None,
        indices: Any = None,
        kind: Literal["prior", "free", "labels", "bound"] = "prior",
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
            entropy of the posterior, KL(q || p) up to log Z. "labels": the same of the machine with label units, the labels
            summed out; KL(q || p) itself, for that machine is normalised. "bound": the negative ELBO, which also sees how well the
            counts are explained: the best score of cells out of the distribution.

        Raises
        ------
        InputError
            For another kind, a continuous prior, or "labels" of a model without label units.
        """
        one_of("kind", kind, ("prior", "free", "labels", "bound"))
        if kind == "bound":
            return -np.asarray(self.get_elbo(adata, indices, batch_size, return_mean=False, seed=seed))
        prior = bounds.over_bits(self.module.vae.prior, "get_energy")
        self._check_if_trained(warn=False)
        with torch.inference_mode():
            logits = cells.posterior(self, adata, indices, batch_size).to(self.device)
            if kind == "labels":
                return (labels.units_of(self).machine.free_energy(logits) - entropy(logits)).cpu().numpy()
        return bounds.prior_energy(prior, logits, kind == "free", seed)

    # -- the cells of these methods ---------------------------------------------------------------------------------

    def _counts(self, method: str, adata: AnnData | None, indices: Any, batch_size: int | None) -> Any:
        """Return minibatches of counts for a method that needs them."""
        self._check_if_trained(warn=False)
        entered = cells.enter(self, adata)
        if entered.counts is None:
            raise InputError(f"{method} needs the counts, which a minified model no longer holds")
        return cells.batches(self, entered, indices, batch_size)

    def _wanted(
        self,
        entered: cells.Cells,
        indices: Any,
        representation: Representation,
        n_components: int | None = None,
        align_batches: bool | None = None,
    ) -> embedding.Wanted:
        """Return what is asked for, with what minified data keep of it."""
        align = self.align_batches if align_batches is None else align_batches
        kept = None
        if entered.counts is None and representation in embedding.KEPT_KEYS:
            if representation == "aligned" and align != self.align_batches:
                raise InputError(f"minified data keep their coordinates of align_batches={self.align_batches} alone")
            kept = embedding.kept(entered, representation, cells.rows_of(entered, indices))
        return embedding.Wanted(representation, n_components, align, kept)
