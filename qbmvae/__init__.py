"""Variational autoencoders for single-cell counts with Boltzmann-machine priors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qbmvae.model import QBMVAE as QBMVAE

__version__ = "0.2.0"

__all__ = ["QBMVAE", "__version__"]


def __getattr__(name: str) -> Any:
    # scvi-tools costs five times what torch costs to import: load it when a model is asked for.
    if name == "QBMVAE":
        from qbmvae.model import QBMVAE

        return QBMVAE
    raise AttributeError(f"module 'qbmvae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
