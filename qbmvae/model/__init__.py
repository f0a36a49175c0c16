"""The face for scvi-tools' users: one thin model on top of `qbmvae.core`."""

from qbmvae.model.model import QBMVAE

__all__ = ["QBMVAE"]
