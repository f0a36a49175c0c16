"""A comparison without a configuration: models on one file of cells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.comparison.config import require_models

#: What a comparison on one file compares where no models are named.
ONE_SET_MODELS = ("qbmvae", "pca", "harmony", "scvi")


def one_set(
    path: str | Path, label_key: str, batch_key: str | None = None, layer: str | None = None, models: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the values of a comparison of models on one file, with the settings that suit most data.

    Parameters
    ----------
    path
        The cells.
    label_key, batch_key, layer
        Where types, batches and counts are.
    models
        Names of `METHODS`; `ONE_SET_MODELS` by default. The first of our own models among them is the one that the others
        are compared with, else the first.
    """
    path = Path(path)
    models = list(models or ONE_SET_MODELS)
    require_models(models)
    name = re.sub(r"\W+", "-", path.stem).strip("-") or "cells"
    data = {"name": name, "source": str(path.resolve()), "batch_key": batch_key, "label_key": label_key, "layer": layer}
    return {
        "name": f"Models on {path.name}",
        "datasets": [data],
        "models": models,
        "seeds": [0, 1, 2],
        "ours": "qbmvae" if "qbmvae" in models else models[0],
        "tasks": ["integration", "scgraph", "clustering"] if batch_key else ["clustering", "classification"],
    }
