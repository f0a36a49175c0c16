"""Options of the preset "boltzmann"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from samplers.checks import one_of, positive
from samplers.errors import InputError, nearest

KIND = "boltzmann"
HOWS = ("generate", "transport")


@dataclass(frozen=True)
class BoltzmannOptions:
    """How the VAE and the conditional machine are trained, and how cells are made.

    Attributes
    ----------
    n_latent, n_hidden, n_layers
        Bits, and the VAE's hidden layers.
    epochs
        Of the VAE; by default about 600,000 visits to cells, between 20 and 200 epochs.
    kl_weight
        Of the VAE's KL.
    rank
        Of A, the map from features to shifts of the fields.
    steps, machine_learning_rate, n_chains, n_sweeps, shift_scale
        Of the machine's fit, see `training.train`.
    how
        "generate" draws cells from p(z | c); "transport" moves the bits of control cells, each with its own noise.
    transport_sweeps
        Most passes of a transport.
    """

    n_latent: int = 32
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
    how: str = "generate"
    transport_sweeps: int = 5

    def __post_init__(self) -> None:
        one_of("how", self.how, HOWS)
        for name, value in vars(self).items():
            if name != "how" and value is not None:
                positive(name, value)

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
