"""The switches of the delta predictor, its presets, and the phases of the prototype's improvement plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from samplers.checks import integer, one_of, positive
from samplers.errors import InputError, nearest

CHOICES = {
    "bottleneck": ("circuit", "mlp", "none"),
    "readout": ("z", "xyz"),
    "decoder": ("linear", "mlp512", "deep"),
    "bypass": ("none", "linear", "mlp"),
    "schedule": ("constant", "cosine"),
    "cells": ("shift", "scale"),
}


@dataclass(frozen=True)
class Options:
    """Architecture, losses and optimisation of the delta predictor; the defaults are the product.

    Attributes
    ----------
    bottleneck
        What turns the `n_blocks * n_qubits` angles into `n_outputs` values: the re-uploading "circuit", an "mlp" of the
        same width, or "none" (the bypass alone).
    n_qubits, n_blocks, n_layers, readout, entangle
        The circuit: qubits of a block, independent blocks, re-uploads, "z" or "xyz" expectation values, CNOT rings.
    angle_scale
        Factor on angles in +-pi: .1 keeps the circuit expressive and trainable, 1 is the prototype's collapse.
    normalise
        Standardise the circuit's outputs over the batch.
    freeze_circuit
        Leave the circuit at its random initial angles (a control).
    decoder
        "linear", "mlp512" (one hidden layer of 512) or "deep" (512, 1024).
    decoder_from_backbone
        Start the decoder's last layer from the backbone's map to genes (STATE's project_out, PCA's loadings).
    bypass, gate
        A classical path around the circuit, "linear" or "mlp"; with `gate` the circuit enters times a scalar that starts
        at zero.
    ridge_start
        Start the linear part of the bypass at the ridge regression of the deltas on the backbone's output, with the
        penalty that predicts held-out groups best.
    pseudobulk
        Train on mean deltas of whole groups; otherwise on pairs of one perturbed and one control cell.
    contrastive, ranking, deg_weights
        Weights of the L1 ranking loss across perturbations (PDS-like), of the ranking of affected above unaffected
        genes (DES-like), and of significance in the squared error of a gene.
    epochs, learning_rate, weight_decay, batch_size, schedule, warm_up, patience
        AdamW; "cosine" decays to zero after a linear warm-up over the share `warm_up` of the steps; training stops
        after `patience` epochs (0: never) without a better validation loss, and the best weights are kept.
    global_scale
        Multiply deltas by the factor that is best on held-out groups (the validation split), by absolute error.
    tune
        Parts of the backbone that train too, at a tenth of the learning rate: "project_out", "final_down_then_up",
        "last_layers".
    cells
        How a delta becomes cells: "shift" adds it to every cell, "scale" keeps zeros by rescaling each gene.
    """

    bottleneck: str = "circuit"
    n_qubits: int = 8
    n_blocks: int = 1
    n_layers: int = 4
    readout: str = "xyz"
    entangle: bool = True
    angle_scale: float = 0.1
    normalise: bool = True
    freeze_circuit: bool = False
    decoder: str = "linear"
    decoder_from_backbone: bool = False
    bypass: str = "mlp"
    gate: bool = True
    ridge_start: bool = True
    pseudobulk: bool = True
    contrastive: float = 0.1
    ranking: float = 0.0
    deg_weights: float = 0.0
    epochs: int = 60
    learning_rate: float = 5e-4
    weight_decay: float = 1e-4
    batch_size: int = 64
    schedule: str = "cosine"
    warm_up: float = 0.05
    patience: int = 20
    global_scale: bool = False
    tune: tuple[str, ...] = ()
    cells: str = "scale"

    def __post_init__(self) -> None:
        for name, legal in CHOICES.items():
            one_of(name, getattr(self, name), legal)
        for name in ("n_qubits", "n_blocks", "n_layers", "epochs", "batch_size"):
            integer(name, getattr(self, name))
        positive("learning_rate", self.learning_rate)
        if self.bottleneck == "none" and self.bypass == "none":
            raise InputError("bottleneck='none' needs a bypass: 'linear' or 'mlp'")
        for part in self.tune:
            one_of("tune", part, TUNABLE)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain JSON values."""
        return asdict(self) | {"tune": list(self.tune)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Options:
        """Build options from plain values; unknown names are refused.

        Raises
        ------
        InputError
            For an unknown name.
        """
        known = {f.name for f in fields(cls)}
        for name in values:
            if name not in known:
                raise InputError(f"no option {name!r} of the delta predictor{nearest(name, known)}")
        values = dict(values)
        if "tune" in values:
            values["tune"] = tuple(values["tune"])
        return cls(**values)


TUNABLE = ("project_out", "final_down_then_up", "last_layers")

# The public prototype: re-uploaded angles over +-pi, raw expectation values, squared error on pairs of cells.
PROTOTYPE = Options(
    angle_scale=1.0,
    normalise=False,
    decoder="mlp512",
    bypass="none",
    gate=False,
    ridge_start=False,
    pseudobulk=False,
    contrastive=0.0,
    epochs=10,
    learning_rate=1e-3,
    weight_decay=0.0,
    schedule="constant",
    warm_up=0.0,
    patience=0,
    global_scale=False,
    cells="shift",
)

# the same circuit, trained as the prototype's page would after its phase 3, with the two cures: bandwidth and normalisation
BANDWIDTH = replace(
    PROTOTYPE,
    angle_scale=0.1,
    normalise=True,
    pseudobulk=True,
    epochs=60,
    learning_rate=3e-3,
    schedule="cosine",
    warm_up=0.05,
    decoder="linear",
)

PRESETS: dict[str, Options] = {"default": Options(), "prototype": PROTOTYPE, "bandwidth": BANDWIDTH}

# What each phase of the prototype's plan adds to all before it.
PHASES: dict[str, dict[str, Any]] = {
    "0": {},
    "1A": {"bypass": "mlp", "gate": True},
    "1B": {"decoder_from_backbone": True},
    "1C": {"n_blocks": 3, "decoder": "deep"},
    "2A": {"contrastive": 0.1},
    "2B": {"ranking": 0.1},
    "3A": {"pseudobulk": True, "epochs": 60},
    "3B": {"schedule": "cosine", "warm_up": 0.05},
    "4A": {"global_scale": True},
    "4B": {"deg_weights": 1.0},
    "5": {"tune": TUNABLE},
}


def preset(name: str) -> Options:
    """Return a preset: "default", "prototype", "bandwidth", or "phase-0" to "phase-5" (cumulative).

    Raises
    ------
    InputError
        For an unknown name.
    """
    if name in PRESETS:
        return PRESETS[name]
    if name.startswith("phase-") and name[6:] in PHASES:
        options = PROTOTYPE
        for phase, changes in PHASES.items():
            options = replace(options, **changes)
            if phase == name[6:]:
                break
        return options
    raise InputError(f"no preset {name!r}{nearest(name, [*PRESETS, *(f'phase-{p}' for p in PHASES)])}")
