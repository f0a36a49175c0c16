"""Predicting the response to perturbation: the hybrid delta predictor, its baselines and the official scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samplers.lazy import lazy

__all__ = [
    "DeltaPredictor",
    "Features",
    "Options",
    "PerturbationModel",
    "fit",
    "load_state",
    "preset",
    "read_features",
    "scale_scores",
    "scores",
]

if TYPE_CHECKING:
    from qbmvae.perturbation.backbones.state import load_state
    from qbmvae.perturbation.delta import DeltaPredictor
    from qbmvae.perturbation.features import Features, read_features
    from qbmvae.perturbation.fitting import fit
    from qbmvae.perturbation.model import PerturbationModel
    from qbmvae.perturbation.options import Options, preset
    from qbmvae.perturbation.scoring import scale_scores, scores
else:
    __getattr__, __dir__ = lazy(__name__)
