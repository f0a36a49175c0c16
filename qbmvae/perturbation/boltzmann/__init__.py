"""Perturbed cells from a conditional Boltzmann machine over the bits of a QBM-VAE."""

from __future__ import annotations

from qbmvae.perturbation.boltzmann.fitting import fit
from qbmvae.perturbation.boltzmann.machine import ConditionalMachine
from qbmvae.perturbation.boltzmann.model import BoltzmannPerturbation
from qbmvae.perturbation.boltzmann.options import BoltzmannOptions

__all__ = ["BoltzmannOptions", "BoltzmannPerturbation", "ConditionalMachine", "fit"]
