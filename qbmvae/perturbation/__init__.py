"""Predicting the response to perturbation: the hybrid delta predictor, its baselines and the official scores."""

from __future__ import annotations

from typing import Any

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
