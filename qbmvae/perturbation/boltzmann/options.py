"""Options of the preset "boltzmann"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from samplers.checks import integer, one_of, positive, share
from samplers.errors import InputError, nearest

KIND = "boltzmann"
#: Presets of this kind, and their own options.
KINDS: dict[str, dict[str, str]] = {KIND: {}, "gaussian": {"latent": "gaussian"}}
#: Ways of making cells, and what may be asked for.
WAYS = ("generate", "transport", "shift")
HOWS = (*WAYS, "mixture")
MEANS = ("ridge", "decoder")
LATENTS = ("bits", "gaussian")
CHOICES = {"how": HOWS, "mean": MEANS, "latent": LATENTS}


@dataclass(frozen=True)
class BoltzmannOptions:
    """How the VAE and the conditional machine are trained, and how cells are made.

    Attributes
    ----------
    latent
        "bits" under a conditional Boltzmann machine; "gaussian" is the continuous twin, conditioned alike, as a control.
    n_latent, n_hidden, n_layers
        Bits (32 by default; 10 dimensions of the twin), and the VAE's hidden layers.
    epochs
        Of the VAE; by default about 600,000 visits to cells, between 20 and 500 epochs.
    kl_weight
        Of the VAE's KL.
    rank
        Of A, the map from features to shifts of the fields.
    steps, machine_learning_rate, n_chains, n_sweeps, shift_scale
        Of the machine's fit, see `training.train`.
    how
        "generate" draws cells from p(z | c); "transport" moves the bits and counts of control cells, each with its own
        noise; "shift" leaves the bits and moves the counts; "mixture" makes each `shares` of the cells. By default the way
        whose cells are nearest to training cells (energy distance), and transport where a context column says that controls
        of another context may come.
    shares
        Way to its share in a mixture.
    folds
        Contexts that are left out, one after the other, to validate a mixture's shares where there is a context column; each
        costs another fit of half the steps. 0 for none.
    mean
        "ridge" makes the cells' mean expression that of the controls plus the shift which ridge regression on the features
        predicts; "decoder" leaves it to the machine and the decoder. By default "ridge" for transport, "decoder" else.
    transport_sweeps
        Most passes of a transport.
    """

    latent: str = "bits"
    n_latent: int | None = None
    n_hidden: int = 128
    n_layers: int = 2
    epochs: int | None = None
    kl_weight: float = 1.0
    rank: int = 16
    steps: int = 2000
    machine_learning_rate: float = 0.02
    n_chains: int = 256
    n_sweeps: int = 2
    shift_scale: float = 1.0
    how: str | None = None
    shares: dict[str, float] | None = None
    folds: int = 0
    mean: str | None = None
    transport_sweeps: int = 5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name == "latent" or (name in CHOICES and value is not None):
                one_of(name, value, CHOICES[name])
            elif name == "folds":
                integer(name, value, least=0)
            elif name != "shares" and value is not None:
                positive(name, value)
        if self.shares is not None and not isinstance(self.shares, Mapping):
            raise InputError(f"shares must be a mapping of ways to shares, not {self.shares!r}")
        for way, part in (self.shares or {}).items():
            share(f"the share of {one_of('a way in shares', way, WAYS)!r}", part)
        if self.shares is not None and abs(sum(self.shares.values()) - 1) > 1e-6:
            raise InputError(f"shares of ways must add up to 1, not {sum(self.shares.values()):g}")
        if self.how == "mixture" and self.shares is None:
            raise InputError("how='mixture' wants shares, such as {'generate': 0.5, 'transport': 0.5}")

    @property
    def width(self) -> int:
        """Bits, or dimensions of the twin."""
        return self.n_latent or (32 if self.latent == "bits" else 10)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BoltzmannOptions:
        """Build options from plain values; unknown names are refused.

        Raises
        ------
        InputError
            For an unknown name.
        """
        known = [f.name for f in fields(cls)]
        for name in values:
            if name not in known:
                raise InputError(f"no option {name!r} of the preset 'boltzmann'{nearest(name, known)}")
        return cls(**values)
