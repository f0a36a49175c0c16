"""Priors behind one interface; `make` builds one by name."""

from __future__ import annotations

from typing import Any

from qbmvae.core.priors import topology as topologies
from qbmvae.core.priors.base import DiscretePrior, Prior
from qbmvae.core.priors.boltzmann import BernoulliPrior, BoltzmannPrior, RestrictedBoltzmannPrior
from qbmvae.core.priors.continuous import ContinuousPrior, GaussianPrior, MixturePrior, VampPrior
from samplers.errors import InputError, require

NAMES = ("boltzmann", "bernoulli", "uniform", "random-couplings", "gaussian", "gaussian-mixture", "vamp")

__all__ = [
    "NAMES",
    "BernoulliPrior",
    "BoltzmannPrior",
    "ContinuousPrior",
    "DiscretePrior",
    "GaussianPrior",
    "MixturePrior",
    "Prior",
    "RestrictedBoltzmannPrior",
    "VampPrior",
    "make",
]


def make(
    name: str,
    n_latent: int,
    *,
    n_input: int,
    topology: Any = "dense",
    n_hidden_units: int | None = None,
    n_components: int = 32,
) -> DiscretePrior | ContinuousPrior:
    """Return the prior called `name`.

    Parameters
    ----------
    name
        One of `NAMES`.
    n_latent
        Bits, or dimensions of a continuous code.
    n_input
        Number of genes (for the VampPrior's pseudo-inputs).
    topology
        Of "boltzmann" and "random-couplings": see `topology.mask`; "bipartite" makes a restricted Boltzmann machine.
    n_hidden_units
        Hidden units of the restricted Boltzmann machine; as many as bits by default.
    n_components
        Components of "gaussian-mixture" and "vamp".

    Raises
    ------
    InputError
        For an unknown name, or hidden units of another prior.
    """
    require(name, NAMES, "there is no prior")
    bipartite = isinstance(topology, str) and topology == "bipartite"
    if n_hidden_units is not None and not (name == "boltzmann" and bipartite):
        raise InputError('n_hidden_units goes with prior="boltzmann", topology="bipartite"')
    match name:
        case "boltzmann" if bipartite:
            return RestrictedBoltzmannPrior(n_latent, n_hidden_units or n_latent)
        case "boltzmann":
            return BoltzmannPrior(n_latent, topologies.mask(topology, n_latent))
        case "random-couplings":
            return BoltzmannPrior(n_latent, topologies.mask(topology, n_latent), frozen_couplings_scale=1.0)
        case "bernoulli":
            return BernoulliPrior(n_latent)
        case "uniform":
            return BernoulliPrior(n_latent, learned=False)
        case "gaussian":
            return GaussianPrior(n_latent)
        case "gaussian-mixture":
            return MixturePrior(n_latent, n_components)
    return VampPrior(n_latent, n_input, n_components)
