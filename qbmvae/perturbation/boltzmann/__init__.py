"""Perturbed cells from a conditional Boltzmann machine over the bits of a QBM-VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samplers.lazy import lazy

__all__ = ["BoltzmannOptions", "BoltzmannPerturbation", "ConditionalMachine", "fit"]

if TYPE_CHECKING:
    from qbmvae.perturbation.boltzmann.fitting import fit
    from qbmvae.perturbation.boltzmann.machine import ConditionalMachine
    from qbmvae.perturbation.boltzmann.model import BoltzmannPerturbation
    from qbmvae.perturbation.boltzmann.options import BoltzmannOptions
else:
    # torch and numba load when a machine is asked for: reading its options needs neither
    __getattr__, __dir__ = lazy(__name__)
