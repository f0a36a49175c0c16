"""`QBMVAE`: a scvi-tools model with a Boltzmann prior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anndata import AnnData
from scvi.model.base import ArchesMixin

from qbmvae.core.options import Dispersion, Estimator, GeneLikelihood, ModelOptions, Normalisation, PriorName, pick
from qbmvae.data import label_names
from qbmvae.model import cells, files, query
from qbmvae.model.door import Door
from qbmvae.model.training_methods import TrainingMethods
from samplers.errors import InputError


class QBMVAE(TrainingMethods):
    """A variational autoencoder of single-cell counts whose prior is a Boltzmann machine.

    Parameters
    ----------
    adata, registry
        Data registered with `QBMVAE.setup_anndata`; their registry, where scvi-tools makes a model without data.
    n_latent
        Bits of the code (dimensions for a continuous prior).
    n_hidden
        Width of the hidden layers.
    n_layers
        Hidden layers of the encoder, and of the decoder.
    dropout_rate
        Dropout in the encoder.
    decoder_dropout_rate
        Dropout in the decoder: against a likelihood that overfits on few cells, see docs/training.md.
    gene_likelihood
        "auto": "zinb" where a batch has more zeros than a negative binomial explains (reads), else "nb" (molecules), see
        `qbmvae.data.likelihood`. "nb", "zinb", "poisson", or "gaussian" for log-normalised input.
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
    estimator
        Gradient through the bits: "straight-through", "gumbolt", "spike-exponential", "overlapping-exponential",
        "reinmax" or "disarm".
    estimator_parameter
        Temperature or sharpness of the estimator; each estimator has a default.
    encode_covariates
        Whether the encoder sees batch and covariates (the decoder always does, at every layer).
    normalisation
        Normalisation of the hidden layers: "batch", "layer" or "none".
    sampler
        Of the negative phase: a name of `samplers.available()`, "name?option=value&...", or a `samplers.Sampler` or
        `dimod.Sampler` object.
    align_batches
        Whether the default embedding moves the batches onto each other, see `qbmvae.core.alignment`.
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

    _LATENT_QZM_KEY = "qbmvae_latent_qzm"
    _LATENT_QZV_KEY = "qbmvae_latent_qzv"
    prepare_query_anndata = ArchesMixin.prepare_query_anndata

    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict | None = None,
        # written by .ci/signatures.py from ModelOptions
        n_latent: int = 64,
        n_hidden: int = 128,
        n_layers: int = 2,
        dropout_rate: float = 0.1,
        decoder_dropout_rate: float = 0.0,
        gene_likelihood: GeneLikelihood = "auto",
        dispersion: Dispersion = "gene",
        prior: PriorName = "boltzmann",
        topology: Any = "dense",
        n_hidden_units: int | None = None,
        n_components: int = 32,
        estimator: Estimator = "straight-through",
        estimator_parameter: float | None = None,
        encode_covariates: bool = False,
        normalisation: Normalisation = "batch",
        # written by hand
        sampler: Any = "persistent",
        align_batches: bool = True,
        seed: int = 0,
    ):
        options = pick(ModelOptions, locals())
        self.door = Door(gene_likelihood != "gaussian")
        entered = None if adata is None else self.door.enter(adata, cells.registered(type(self), adata))
        if entered is not None:
            registry = entered.manager.registry
        elif registry is None:
            raise InputError("QBMVAE needs data: QBMVAE.setup_anndata(adata, batch_key=...), then QBMVAE(adata)")
        options = cells.with_likelihood(options, entered)
        super().__init__(None, registry)
        self.sampler, self.align_batches = sampler, align_batches
        self._module_options = {**cells.sizes(self), **vars(options)}
        self._draw_weights(seed)
        if adata is not None:
            self._attach(adata)
        self._model_summary_string = (
            f"QBMVAE: {n_latent} latent bits, prior {prior} ({topology if isinstance(topology, str) else 'own graph'}), "
            f"sampler {self.sampler.name}, {n_layers} layers of {n_hidden}, likelihood {options.gene_likelihood}"
        )
        # an object may hold a connection: what is saved is its name
        own = {"sampler": self.sampler_ or "persistent", "align_batches": align_batches, "seed": seed}
        self.init_params_ = {"kwargs": {}, "non_kwargs": {**vars(options), **own}}

    def __repr__(self) -> str:
        return f"{self._model_summary_string}; {'trained' if self.is_trained_ else 'not trained'}"

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        layer: str | None = None,
        batch_key: str | None = None,
        labels_key: str | list[str] | None = None,
        size_factor_key: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        unlabeled_category: str | None = None,
        source_registry: dict[str, Any] | None = None,
        extend_categories: bool = False,
    ) -> None:
        """Register an AnnData: say where the counts and the covariates are.

        Parameters
        ----------
        adata
            Cells by genes; counts in any container that AnnData holds, in memory or on disk (or log-normalised values for
            `gene_likelihood="gaussian"`).
        layer
            Layer with the counts; X by default; "raw" for `adata.raw.X`.
        batch_key
            Column of `adata.obs` with the batch.
        labels_key
            Column with labels, or several, a group of units each; without `unlabeled_category` they may be missing.
        size_factor_key
            Column with size factors, used in the place of total counts; of any scale.
        categorical_covariate_keys, continuous_covariate_keys
            Further covariates of the decoder.
        unlabeled_category
            Label of the cells that have none, in every column: then labels are units of the machine, fitted when training
            ends, and encoder and decoder do not see them. None: labels are not used.
        source_registry
            What another model knows of genes and categories, which these data then follow.
        extend_categories
            Whether categories that are new to it may come in.

        Raises
        ------
        InputError
            For missing layers and columns (with the nearest names), missing values, duplicated names, and labels that
            cannot be units.
        """
        setup = {
            "layer": layer,
            "batch_key": batch_key,
            "labels_key": label_names.plain(labels_key),
            "size_factor_key": size_factor_key,
            "categorical_covariate_keys": categorical_covariate_keys,
            "continuous_covariate_keys": continuous_covariate_keys,
            "unlabeled_category": unlabeled_category,
        }
        cells.register(cls, adata, setup, source_registry, extend_categories)

    # -- files ------------------------------------------------------------------------------------------------------

    def save(self, dir_path: str | Path, prefix: str | None = None, overwrite: bool = False, **kwargs: Any) -> None:
        """Save the model into a folder, atomically: a failure leaves what was there.

        Parameters
        ----------
        dir_path
            The folder; it must not exist, unless `overwrite`.
        prefix
            Of the file names.
        overwrite
            Replace an existing folder's model.
        **kwargs
            Those of scvi-tools' `save` (`save_anndata=True` keeps the data with it).

        Raises
        ------
        InputError
            For a folder that exists.
        """
        with files.replacing(Path(dir_path), overwrite) as folder:
            if self.is_trained_ and self.adata is not None:
                # saved with the model: it generates without data
                self._libraries()
            super().save(str(folder), prefix=prefix, overwrite=True, **kwargs)

    @classmethod
    def load(cls, dir_path: str | Path, adata: AnnData | None = None, **kwargs: Any) -> QBMVAE:
        """Return a model saved by `save`, its outputs equal to the bit.

        Parameters
        ----------
        dir_path
            The folder.
        adata
            The data; those saved with the model where None, no data where False. Genes are found by name.
        **kwargs
            Those of scvi-tools' `load`.

        Raises
        ------
        InputError
            For a missing or damaged folder, or data that do not fit.
        """
        path, prefix = Path(dir_path), kwargs.get("prefix") or ""
        with files.reading(path, prefix):
            model = super().load(str(path), adata=False, **kwargs)
            if adata is None:
                adata = files.saved_data(path, prefix)
        if adata is not False:
            model._attach(adata)
        model.set_weights(trained=model.is_trained_)
        return model

    def export(self, path: str | Path) -> None:
        """Write weights, graph, genes, categories, history and versions into one safetensors file.

        Parameters
        ----------
        path
            The file, by convention `.safetensors`; its header holds a JSON document under "qbmvae".
        """
        self._check_if_trained(warn=False)
        files.write_export(Path(path), self, self._libraries())

    @classmethod
    def from_export(cls, path: str | Path, adata: AnnData | None = None) -> QBMVAE:
        """Return the model of an exported file.

        Parameters
        ----------
        path
            The file.
        adata
            Data to attach; the model embeds other data and generates without any.

        Raises
        ------
        InputError
            For a missing or damaged file, or one of a later version.
        """
        found = files.read_export(Path(path))
        model = cls(None, found.registry, **found.options)
        if adata is not None:
            model._attach(adata)
        for name, indices in found.split.items():
            setattr(model, f"{name}_indices_", indices)
        for name, value in found.extras.items():
            setattr(model, name, value)
        model.set_weights(found.weights, trained=True)
        model.history_, model.library_table_ = found.history, found.libraries
        model.reference_categories_ = found.reference_categories
        return model

    # -- queries ----------------------------------------------------------------------------------------------------

    @classmethod
    def load_query_data(cls, adata: AnnData, reference_model: QBMVAE | str | Path, unfrozen: bool = False) -> QBMVAE:
        """Return a model of the query data on a reference; train it to fit the new batches' rows.

        Parameters
        ----------
        adata
            Query cells with the reference's columns, and its genes in any order among others; new categories are allowed. A
            few genes may be missing and count as 0, under a warning. The object is not written to.
        reference_model
            A trained `QBMVAE`, or the folder of one.
        unfrozen
            Train every weight instead of the rows of new categories alone.

        Notes
        -----
        With `encode_covariates=False` (the default) the encoder does not see the batch: the query's embedding is that
        of the reference's encoder, and training fits the decoder's rows of the new batches.
        """
        reference = reference_model if isinstance(reference_model, QBMVAE) else cls.load(reference_model, adata=False)
        reference._check_if_trained(warn=False)
        setup, registry = reference.registry_["setup_args"], reference.registry_
        entered = Door(reference.door.count_data).enter(adata, setup, registry, extend=True)
        model = cls(None, entered.manager.registry, **reference.init_params_["non_kwargs"])
        model._attach(adata)
        # until it is trained it answers with the reference's weights
        model.set_weights(query.extended_weights(reference.module, model.module), trained=True)
        model.reference_categories_ = None if unfrozen else reference.module.vae.n_categories
        for name in files.EXTRAS:
            setattr(model, name, getattr(reference, name))
        # what a query calls its cells is not looked at
        model.keeps_labels_ = True
        return model
