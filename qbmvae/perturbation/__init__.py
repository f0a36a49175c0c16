"""Predicting the response to perturbation: the hybrid delta predictor, its baselines and the official scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qbmvae.perturbation.backbones.state import load_state as load_state
    from qbmvae.perturbation.delta import DeltaPredictor as DeltaPredictor
    from qbmvae.perturbation.features import Features as Features
    from qbmvae.perturbation.features import read_features as read_features
    from qbmvae.perturbation.fitting import fit as fit
    from qbmvae.perturbation.model import PerturbationModel as PerturbationModel
    from qbmvae.perturbation.options import Options as Options
    from qbmvae.perturbation.options import preset as preset
    from qbmvae.perturbation.scoring import scale_scores as scale_scores
    from qbmvae.perturbation.scoring import scores as scores

_HOMES = {
    "DeltaPredictor": "delta",
    "Features": "features",
    "Options": "options",
    "PerturbationModel": "model",
    "fit": "fitting",
    "load_state": "backbones.state",
    "preset": "options",
    "read_features": "features",
    "scores": "scoring",
    "scale_scores": "scoring",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(f"qbmvae.perturbation.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'qbmvae.perturbation' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
