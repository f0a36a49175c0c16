"""`QBMVAE`: a scvi-tools model with a Boltzmann prior."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.model.base import BaseMinifiedModeModelClass, RNASeqMixin

import samplers
from qbmvae.data import audit
from qbmvae.model.bounds import InferenceMixin
from qbmvae.model.cells import RegistrationMixin
from qbmvae.model.embedding import LatentMixin
from qbmvae.model.files import ArchiveMixin
from qbmvae.model.fit import TrainingMixin, without_token
from qbmvae.model.generation import GenerationMixin
from qbmvae.model.module import QBMVAEModule
from qbmvae.model.query import QueryMixin
from samplers.errors import InputError


class QBMVAE(
    RegistrationMixin,
    TrainingMixin,
    LatentMixin,
    InferenceMixin,
    GenerationMixin,
    ArchiveMixin,
    QueryMixin,
    RNASeqMixin,
    BaseMinifiedModeModelClass,
):
    """A variational autoencoder of single-cell counts whose prior is a Boltzmann machine.

    Parameters
    ----------
    adata
        Data registered with `QBMVAE.setup_anndata`.
    n_latent
        Bits of the code.
    n_hidden
        Width of the hidden layers.
    n_layers
        Hidden layers of the encoder, and of the decoder.
    dropout_rate
        Dropout in the encoder.
    gene_likelihood
        "nb", "zinb", "poisson", or "gaussian" for log-normalised input.
    dispersion
        "gene" or "gene-batch".
    prior
        "boltzmann", "bernoulli" (no couplings), "uniform", "random-couplings" (frozen), "gaussian",
        "gaussian-mixture" or "vamp".
    topology
        Couplings of the Boltzmann prior: "dense", "bipartite" (a restricted Boltzmann machine), a networkx graph over
        `n_latent` nodes, or a hardware graph: "pegasus", "zephyr", "chimera".
    n_hidden_units
        True hidden units of the "bipartite" topology; as many as bits by default.
    n_components
        Components of the mixture and VampPrior.
    sampler
        Of the negative phase: a name of `samplers.available()`, "name?option=value&...", or a `samplers.Sampler` or
        `dimod.Sampler` object.
    estimator
        Gradient through the bits: "straight-through", "gumbolt", "spike-exponential", "overlapping-exponential",
        "reinmax" or "disarm".
    estimator_parameter
        Its temperature or sharpness; each has a default.
    encode_covariates
        Whether the encoder sees batch and covariates (the decoder always does, at every layer).
    normalisation
        Of the hidden layers: "batch", "layer" or "none".
    seed
        Of the initial weights. `train(seed=...)` draws them anew from its own seed.

    Raises
    ------
    InputError
        For unusable data or options: the message names the rows, the column or the option.

    Examples
    --------
    >>> QBMVAE.setup_anndata(adata, batch_key="batch")
    >>> model = QBMVAE(adata)
    >>> model.train(max_epochs=100, seed=0)
    >>> adata.obsm["X_qbmvae"] = model.get_latent_representation()
    """

    _module_cls = QBMVAEModule
    _LATENT_QZM_KEY = "qbmvae_latent_qzm"
    _LATENT_QZV_KEY = "qbmvae_latent_qzv"

    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict | None = None,
        n_latent: int = 64,
        n_hidden: int = 128,
        n_layers: int = 2,
        dropout_rate: float = 0.1,
        gene_likelihood: str = "nb",
        dispersion: str = "gene",
        prior: str = "boltzmann",
        topology: Any = "dense",
        n_hidden_units: int | None = None,
        n_components: int = 32,
        sampler: Any = "persistent",
        estimator: str = "straight-through",
        estimator_parameter: float | None = None,
        encode_covariates: bool = False,
        normalisation: str = "batch",
        seed: int = 0,
    ):
        if adata is not None and not isinstance(adata, AnnData):
            raise InputError(f"QBMVAE takes an AnnData, not {type(adata).__name__}")
        try:
            super().__init__(adata, registry)
        except ValueError as error:
            raise InputError("register the data first: QBMVAE.setup_anndata(adata, batch_key=...)") from error
        # read once in the audit
        self._libraries = {}
        self.sampler_ = without_token(sampler) if isinstance(sampler, str) else None
        self._sampler = samplers.get(sampler)
        options = {
            "n_latent": n_latent,
            "n_hidden": n_hidden,
            "n_layers": n_layers,
            "dropout_rate": dropout_rate,
            "gene_likelihood": gene_likelihood,
            "dispersion": dispersion,
            "prior": prior,
            "topology": topology,
            "n_hidden_units": n_hidden_units,
            "n_components": n_components,
            "estimator": estimator,
            "estimator_parameter": estimator_parameter,
            "encode_covariates": encode_covariates,
            "normalisation": normalisation,
        }
        self._module_options = {**self._sizes(), **options}
        if adata is not None and self.minified_data_type is None:
            self._audit(adata, gene_likelihood, training=True)
        self._build(seed)
        self._fresh = True
        self.library_table_ = None
        self._model_summary_string = (
            f"QBMVAE: {n_latent} latent bits, prior {prior} ({topology if isinstance(topology, str) else 'own graph'}), "
            f"sampler {self._sampler.name}, {n_layers} layers of {n_hidden}, likelihood {gene_likelihood}"
        )
        # an object may hold a connection: what is saved is its name
        sampler = self.sampler_ or "persistent"
        self.init_params_ = self._get_init_params(locals())

    def _sizes(self) -> dict[str, Any]:
        """Return what the data say of the module: genes, categories, continuous covariates."""
        stats = self.summary_stats
        extra: tuple[int, ...] = ()
        if stats.get("n_extra_categorical_covs", 0):
            state = self.registry_["field_registries"][REGISTRY_KEYS.CAT_COVS_KEY]["state_registry"]
            extra = tuple(state["n_cats_per_key"])
        return {
            "n_input": stats.n_vars,
            "n_categories": (stats.n_batch, *extra),
            "n_continuous": stats.get("n_extra_continuous_covs", 0),
        }

    def _build(self, seed: int) -> None:
        """Make the module with weights drawn from `seed`; the global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = self._module_cls(**self._module_options)
        self.module.minified_data_type = self.minified_data_type

    @property
    def sampler(self) -> samplers.Sampler:
        """The sampler of the negative phase."""
        return self._sampler

    def __repr__(self) -> str:
        state = "trained" if self.is_trained_ else "not trained"
        return f"{self._model_summary_string}; {state}"

    @classmethod
    def load(cls, dir_path: str | Path, adata: AnnData | None = None, **kwargs: Any) -> QBMVAE:
        """Return a model saved by `save`, its outputs equal to the bit.

        Parameters
        ----------
        dir_path
            The folder.
        adata
            The data, aligned as in training; loaded with the model where it was saved with it.
        **kwargs
            Those of scvi-tools' `load`.

        Raises
        ------
        InputError
            For a missing or damaged folder.
        """
        path = Path(dir_path)
        if not (path / "model.pt").is_file():
            found = ", ".join(sorted(p.name for p in path.iterdir())[:5]) if path.is_dir() else "no such folder"
            raise InputError(f"{path} holds no saved model (model.pt is missing; {found})")
        if adata is not None and adata is not False:
            audit.names(adata)
        try:
            model = super().load(str(path), adata=adata, **kwargs)
        except (EOFError, KeyError, OSError, RuntimeError, pickle.UnpicklingError) as error:
            raise InputError(f"the model in {path} is damaged or of another version: {error}") from error
        model._fresh = False
        return model
