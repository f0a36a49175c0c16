"""What the experiments on perturbations are made of, read from YAML, `--set` and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from experiments.config import build
from qbmvae.perturbation.boltzmann.options import KINDS, BoltzmannOptions
from qbmvae.perturbation.options import PHASES, PRESETS, Options, preset
from samplers.errors import InputError, nearest


@dataclass(frozen=True)
class TrainConfig:
    """What a run folder resolves to; every field is an option of `qbmvae perturb train`.

    `holdout` "auto" means unseen perturbations where features can describe them, an unseen context where `context_key`
    is given, else unseen cells. `options` overrides fields of the preset.
    """

    data: str
    pert_key: str = "target_gene"
    control: str = "non-targeting"
    features: str | None = None
    backbone: str = "pca"
    preset: str = "default"
    options: dict[str, Any] = field(default_factory=dict)
    context_key: str | None = None
    holdout: str = "auto"
    holdout_values: tuple[str, ...] = ()
    share: float = 0.2
    separator: str = "+"
    genes: str | None = None
    n_control: int | None = 200
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML."""
        return asdict(self) | {"holdout_values": list(self.holdout_values), "options": dict(self.options or {})}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Build a configuration from YAML values; unknown names are refused."""
        values = {k: v for k, v in values.items() if v is not None}
        return build(cls, values, "settings of `perturb train`")

    @property
    def is_boltzmann(self) -> bool:
        """Whether the preset is the conditional Boltzmann machine (or its Gaussian twin), not the delta predictor."""
        return self.preset in KINDS

    def resolved_options(self) -> Options | BoltzmannOptions:
        """Return the preset with the overrides.

        Raises
        ------
        InputError
            For an unknown preset, or an option that it does not have.
        """
        if self.is_boltzmann:
            return BoltzmannOptions.from_dict(KINDS[self.preset] | dict(self.options or {}))
        known = [*KINDS, *PRESETS, *(f"phase-{p}" for p in PHASES)]
        if self.preset not in known:
            raise InputError(f"no preset {self.preset!r}{nearest(self.preset, known)}")
        base = preset(self.preset)
        return Options.from_dict(base.to_dict() | dict(self.options or {}))

    def resolved_holdout(self) -> str:
        """Return the hold-out that "auto" stands for."""
        if self.holdout != "auto":
            return self.holdout
        if self.features not in (None, "one-hot"):
            return "perturbations"
        return "context" if self.context_key else "cells"


@dataclass(frozen=True)
class SeedsConfig:
    """Runs over several seeds.

    Parameters
    ----------
    runs
        Name to settings of `TrainConfig`.
    seeds
        Of hold-out, weights and cells.
    data_root
        Folder that the runs' data are relative to.
    """

    runs: dict[str, dict[str, Any]]
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    data_root: str | None = None


def ablations() -> dict[str, Options]:
    """Return the rows of the ablation table."""
    bandwidth = PRESETS["bandwidth"]
    # as the default and the baselines make cells, so that the rows below differ in the predictor only
    scaled = replace(bandwidth, cells="scale")
    return {
        "prototype": PRESETS["prototype"],
        "prototype-pseudobulk": replace(bandwidth, angle_scale=1.0, normalise=False, decoder="mlp512"),
        "bandwidth": bandwidth,
        "bandwidth-scaled": scaled,
        "bandwidth-no-entanglement": replace(scaled, entangle=False),
        "bandwidth-frozen": replace(scaled, freeze_circuit=True),
        "bandwidth-mlp": replace(scaled, bottleneck="mlp"),
        "bypass-only": replace(PRESETS["default"], bottleneck="none", gate=False),
        "default": PRESETS["default"],
    }


@dataclass(frozen=True)
class TableConfig:
    """A table: "ablation" (backbone `pca`) or "phases" (a small STATE network trained on the seen perturbations).

    `screen` are arguments of `synthetic_screen`, `options` override every row, `backbone_epochs` train the STATE network.
    """

    table: Literal["ablation", "phases"] = "ablation"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    screen: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    backbone_epochs: int = 20
    n_control: int = 200

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML."""
        return asdict(self) | {"seeds": list(self.seeds), "screen": dict(self.screen), "options": dict(self.options)}

    def rows(self) -> dict[str, Options]:
        """Return the named options of each row."""
        rows = ablations() if self.table == "ablation" else {f"phase {p}": preset(f"phase-{p}") for p in PHASES}
        return {name: Options.from_dict(o.to_dict() | dict(self.options)) for name, o in rows.items()}
