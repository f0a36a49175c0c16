"""Choose an engine: a way to evaluate a circuit exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from qbmvae.circuits.engines import per_gate
from qbmvae.circuits.observables import PauliString
from samplers.errors import InputError, nearest

if TYPE_CHECKING:
    from qbmvae.circuits.circuit import Circuit

ENGINES = ("per-gate",)


def _choose(engine: str) -> str:
    if engine == "auto":
        return "per-gate"
    if engine not in ENGINES:
        raise InputError(f"unknown engine {engine!r}{nearest(engine, ENGINES)}")
    return engine


def expval(
    circuit: Circuit, observables: tuple[PauliString, ...], params: torch.Tensor, features: torch.Tensor, engine: str
) -> torch.Tensor:
    """Return (batch, n_observables) expectation values by the named engine."""
    _choose(engine)
    return per_gate.expval(circuit, observables, params, features)


def probabilities(circuit: Circuit, params: torch.Tensor, features: torch.Tensor, engine: str) -> torch.Tensor:
    """Return (batch, 2**n) probabilities by the named engine."""
    _choose(engine)
    return per_gate.probabilities(circuit, params, features)


def state(circuit: Circuit, params: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return (batch, 2**n) amplitudes by the per-gate engine."""
    return per_gate.state(circuit, params, features)
