"""Load a trained predictor of perturbed cells, of whichever kind."""

from __future__ import annotations

import json
from pathlib import Path

from qbmvae.perturbation.boltzmann.model import BoltzmannPerturbation
from qbmvae.perturbation.boltzmann.options import KIND
from qbmvae.perturbation.model import PerturbationModel
from samplers.errors import InputError


def load_model(directory: str | Path) -> PerturbationModel | BoltzmannPerturbation:
    """Return the model that a folder holds.

    Raises
    ------
    InputError
        Where it holds none.
    """
    path = Path(directory) / "model.json"
    if not path.is_file():
        raise InputError(f"no perturbation model in {directory}: model.json is missing")
    kind = json.loads(path.read_text()).get("kind")
    return BoltzmannPerturbation.load(directory) if kind == KIND else PerturbationModel.load(directory)
