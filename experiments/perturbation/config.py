"""What a training run of `qbmvae perturb train` is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from qbmvae.perturbation.options import Options, preset
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
    options: Mapping[str, Any] | None = None
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
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise InputError(f"no setting {name!r} of `perturb train`{nearest(name, known)}")
        if "data" not in values:
            raise InputError("the configuration names no data (an .h5ad file)")
        return cls(**{**values, "holdout_values": tuple(values.get("holdout_values") or ())})

    def resolved_options(self) -> Options:
        """Return the preset with the overrides."""
        base = preset(self.preset)
        return Options.from_dict(base.to_dict() | dict(self.options or {}))

    def resolved_holdout(self) -> str:
        """Return the hold-out that "auto" stands for."""
        if self.holdout != "auto":
            return self.holdout
        if self.features not in (None, "one-hot"):
            return "perturbations"
        return "context" if self.context_key else "cells"
