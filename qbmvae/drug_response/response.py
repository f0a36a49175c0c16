"""The response scale: IC50 in micromolar, its logarithm, or AUC, and the bounded scale on which networks are trained."""

from __future__ import annotations

from typing import Literal

import numpy as np

from samplers.errors import InputError

Target = Literal["ln_ic50", "ic50", "auc"]
TARGETS: tuple[Target, ...] = ("ln_ic50", "ic50", "auc")
EXPONENT = 0.1


def normalise(ic50: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + y^0.1) for IC50 values y > 0, in (0, 1); sensitive lines are near 1 (Sagingalieva et al., 2023).

    Raises
    ------
    InputError
        For a value that is not positive or not finite, naming its position.
    """
    y = np.asarray(ic50, dtype=np.float64)
    bad = np.flatnonzero(~(np.isfinite(y) & (y > 0)))
    if len(bad):
        raise InputError(f"IC50 number {bad[0]} is {y.ravel()[bad[0]]:g}: 1 / (1 + y^0.1) needs a finite y > 0")
    return normalise_ln(np.log(y))


def denormalise(response: np.ndarray) -> np.ndarray:
    """Return the IC50 of a normalised response r in (0, 1): (1/r - 1)^10."""
    return np.exp(denormalise_ln(response))


def normalise_ln(ln_ic50: np.ndarray) -> np.ndarray:
    """Return the normalised response of ln IC50, 1 / (1 + exp(0.1 ln y))."""
    return 1 / (1 + np.exp(EXPONENT * np.asarray(ln_ic50, dtype=np.float64)))


def denormalise_ln(response: np.ndarray) -> np.ndarray:
    """Return ln IC50 of a normalised response, ln(1/r - 1) / 0.1; a prediction outside (0, 1) is clipped to 1e-6 of it."""
    r = np.clip(np.asarray(response, dtype=np.float64), 1e-6, 1 - 1e-6)
    return np.log(1 / r - 1) / EXPONENT


def to_response(values: np.ndarray, target: Target) -> np.ndarray:
    """Return the trained scale of a target: normalised for IC50 and its logarithm, unchanged for AUC."""
    if target == "auc":
        return np.asarray(values, dtype=np.float64)
    return normalise_ln(values) if target == "ln_ic50" else normalise(values)


def from_response(response: np.ndarray, target: Target) -> np.ndarray:
    """Return the target's own scale of a predicted response: the inverse of `to_response`."""
    if target == "auc":
        return np.asarray(response, dtype=np.float64)
    return denormalise_ln(response) if target == "ln_ic50" else denormalise(response)
