"""Choose an engine: a way to evaluate a circuit exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from qbmvae.circuits.engines import per_gate
from qbmvae.circuits.engines.angles import AngleMap
from qbmvae.circuits.engines.frame_torch import FrameFunction, TorchProgram
from qbmvae.circuits.frame import compile_circuit
from qbmvae.circuits.observables import PauliString
from samplers.errors import InputError, nearest

if TYPE_CHECKING:
    from qbmvae.circuits.circuit import Circuit

ENGINES = ("frame-torch", "reversible-torch", "per-gate")


def _choose(engine: str) -> str:
    if engine == "auto":
        return "frame-torch"
    if engine not in ENGINES:
        raise InputError(f"unknown engine {engine!r}{nearest(engine, ENGINES)}")
    return engine


def expval(
    circuit: Circuit, observables: tuple[PauliString, ...], params: torch.Tensor, features: torch.Tensor, engine: str
) -> torch.Tensor:
    """Return (batch, n_observables) expectation values by the named engine."""
    engine = _choose(engine)
    if engine == "per-gate":
        return per_gate.expval(circuit, observables, params, features)
    return _frame(circuit, observables, params, features, engine)


def probabilities(circuit: Circuit, params: torch.Tensor, features: torch.Tensor, engine: str) -> torch.Tensor:
    """Return (batch, 2**n) probabilities by the named engine."""
    engine = _choose(engine)
    if engine == "per-gate":
        return per_gate.probabilities(circuit, params, features)
    return _frame(circuit, None, params, features, engine)


def _frame(
    circuit: Circuit,
    observables: tuple[PauliString, ...] | None,
    params: torch.Tensor,
    features: torch.Tensor,
    engine: str,
) -> torch.Tensor:
    cache: dict[Any, Any] = circuit._cache
    if ("program", observables) not in cache:
        cache["program", observables] = compile_circuit(circuit, observables)
    program = cache["program", observables]
    key = (engine, observables, params.dtype, params.device)
    if key not in cache:
        keep = engine == "frame-torch"
        compiled = TorchProgram(program, params.dtype, params.device, keep=keep, probabilities=observables is None)
        cache[key] = AngleMap(program, params.dtype, params.device), compiled
    angles, compiled = cache[key]
    return FrameFunction.apply(compiled, *angles(params, features))


def state(circuit: Circuit, params: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return (batch, 2**n) amplitudes by the per-gate engine."""
    return per_gate.state(circuit, params, features)
