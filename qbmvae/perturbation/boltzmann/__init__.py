"""Perturbed cells from a conditional Boltzmann machine over the bits of a QBM-VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qbmvae.perturbation.boltzmann.fitting import fit as fit
    from qbmvae.perturbation.boltzmann.machine import ConditionalMachine as ConditionalMachine
    from qbmvae.perturbation.boltzmann.model import BoltzmannPerturbation as BoltzmannPerturbation
    from qbmvae.perturbation.boltzmann.options import BoltzmannOptions as BoltzmannOptions

# torch and numba load when a machine is asked for: reading its options needs neither
_HOMES = {
    "BoltzmannOptions": "options",
    "BoltzmannPerturbation": "model",
    "ConditionalMachine": "machine",
    "fit": "fitting",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(f"qbmvae.perturbation.boltzmann.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'qbmvae.perturbation.boltzmann' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
