"""What a model is: its options, written once; `qbmvae.model.QBMVAE` and the command line take them from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar, get_args

from samplers.checks import integer, one_of
from samplers.errors import InputError, nearest, require

Options = TypeVar("Options")

# The words that options take; their meanings are with what reads them. The command line shows and checks them without
# importing torch, from this text.
GeneLikelihood = Literal["auto", "nb", "zinb", "poisson", "gaussian"]
Dispersion = Literal["gene", "gene-batch"]
PriorName = Literal["boltzmann", "bernoulli", "uniform", "random-couplings", "gaussian", "gaussian-mixture", "vamp"]
Estimator = Literal["straight-through", "gumbolt", "spike-exponential", "overlapping-exponential", "reinmax", "disarm"]
Normalisation = Literal["batch", "layer", "none"]
#: Topologies with a name; a networkx graph will do too.
TOPOLOGIES = ("dense", "bipartite", "pegasus", "zephyr", "chimera")


def pick(kind: type[Options], values: Mapping[str, Any], **changes: Any) -> Options:
    """Return a dataclass of options filled from those of `values` that bear its fields' names.

    Parameters
    ----------
    kind
        The dataclass.
    values
        Values by name, for example a function's `locals()`; other names are left out.
    **changes
        Values that win over those.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**({name: values[name] for name in names if name in values} | changes))


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What a model is, whatever the data.

    Attributes
    ----------
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
    """

    n_latent: int = 64
    n_hidden: int = 128
    n_layers: int = 2
    dropout_rate: float = 0.1
    decoder_dropout_rate: float = 0.0
    gene_likelihood: GeneLikelihood = "auto"
    dispersion: Dispersion = "gene"
    prior: PriorName = "boltzmann"
    topology: Any = "dense"
    n_hidden_units: int | None = None
    n_components: int = 32
    estimator: Estimator = "straight-through"
    estimator_parameter: float | None = None
    encode_covariates: bool = False
    normalisation: Normalisation = "batch"

    def __post_init__(self) -> None:
        one_of("gene_likelihood", self.gene_likelihood, get_args(GeneLikelihood))
        one_of("dispersion", self.dispersion, get_args(Dispersion))
        one_of("normalisation", self.normalisation, get_args(Normalisation))
        for name in ("n_latent", "n_hidden", "n_layers"):
            integer(name, getattr(self, name))
        for name in ("dropout_rate", "decoder_dropout_rate"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be in [0, 1), not {getattr(self, name)}")
        require(self.estimator, get_args(Estimator), "there is no gradient estimator")
        require(self.prior, get_args(PriorName), "there is no prior")
        if isinstance(self.topology, str) and self.topology not in TOPOLOGIES:
            raise InputError(
                f"there is no topology {self.topology!r}{nearest(self.topology, TOPOLOGIES)} (or give a networkx graph)"
            )
        if self.n_hidden_units is not None and not (self.prior == "boltzmann" and self.topology == "bipartite"):
            raise InputError('n_hidden_units goes with prior="boltzmann", topology="bipartite"')
