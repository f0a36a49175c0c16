"""Choose an engine: a way to evaluate a circuit exactly.

- "frame": Clifford frame, compiled code on a CPU, torch elsewhere; for registers that fit the caches.
- "reversible": Clifford frame that recomputes states backwards and goes sample by sample; memory does not grow with depth.
- "frame-torch", "reversible-torch": the same in plain torch, on any device.
- "per-gate": one matrix a gate with torch's autograd; the reference.

Parameters
----------
engine
    Name of the engine, or "auto".
circuit
    The gates.
observables
    Pauli strings to measure.
params
    `(n_params,)`.
features
    `(batch, n_features)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from qbmvae.circuits import memory
from qbmvae.circuits.engines import per_gate
from qbmvae.circuits.engines.angles import AngleMap
from qbmvae.circuits.frame import compile_circuit
from qbmvae.circuits.observables import PauliString
from samplers.errors import InputError, require

if TYPE_CHECKING:
    from qbmvae.circuits.gate_list import GateList

ENGINES = ("auto", "frame", "reversible", "frame-torch", "reversible-torch", "per-gate")
SMALL = 12  # qubits up to which a tile of states stays in a CPU's caches


def resolve(engine: str, circuit: GateList, batch: int, dtype: torch.dtype, device: torch.device) -> str:
    """Return the engine to use, after checking that its states fit in memory.

    Parameters
    ----------
    batch
        Samples.
    dtype, device
        Of the states.

    Raises
    ------
    InputError
        For an unknown engine, or states that do not fit in memory.
    """
    require(engine, ENGINES, "unknown engine")
    n, cpu = circuit.n_qubits, device.type == "cpu"
    if engine == "auto":
        engine = "frame" if n <= SMALL else "reversible"
    if engine in ("frame", "reversible") and not cpu:
        engine += "-torch"
    # state vectors a sample at the peak, measured; kept states grow with the gates
    gates = len(circuit) + 1
    states = {"frame": 8, "reversible": 6, "frame-torch": 8 + gates, "reversible-torch": 10, "per-gate": 4}
    if torch.is_grad_enabled() and (circuit.n_params or circuit.n_features):
        states["per-gate"] *= gates
    if engine == "frame-torch" and _too_large(n, batch, states[engine], dtype, device):
        engine = "reversible-torch"
    memory.check(n, 1 if engine == "reversible" else batch, states[engine], dtype, device)
    return engine


def _too_large(n: int, batch: int, states: float, dtype: torch.dtype, device: torch.device) -> bool:
    try:
        memory.check(n, batch, states, dtype, device)
    except InputError:
        return True
    return False


def expval(
    circuit: GateList, observables: tuple[PauliString, ...], params: torch.Tensor, features: torch.Tensor, engine: str
) -> torch.Tensor:
    """Return (batch, n_observables) expectation values by the named engine."""
    engine = resolve(engine, circuit, len(features), params.dtype, params.device)
    if engine == "per-gate":
        return per_gate.expval(circuit, observables, params, features)
    return _frame(circuit, observables, params, features, engine)


def probabilities(circuit: GateList, params: torch.Tensor, features: torch.Tensor, engine: str) -> torch.Tensor:
    """Return (batch, 2**n) probabilities by the named engine."""
    engine = resolve(engine, circuit, len(features), params.dtype, params.device)
    memory.check(circuit.n_qubits, len(features), 2, params.dtype, params.device)
    if engine == "per-gate":
        return per_gate.probabilities(circuit, params, features)
    return _frame(circuit, None, params, features, engine)


def state(circuit: GateList, params: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Return (batch, 2**n) amplitudes by the per-gate engine."""
    resolve("per-gate", circuit, len(features), params.dtype, params.device)
    return per_gate.state(circuit, params, features)


def _frame(
    circuit: GateList,
    observables: tuple[PauliString, ...] | None,
    params: torch.Tensor,
    features: torch.Tensor,
    engine: str,
) -> torch.Tensor:
    cache: dict[Any, Any] = circuit._cache
    key = (engine, observables, params.dtype, params.device)
    if key not in cache:
        if ("program", observables) not in cache:
            cache["program", observables] = compile_circuit(circuit, observables)
        program = cache["program", observables]
        angles = AngleMap(program, params.dtype, params.device)
        cache[key] = angles, *_engine(engine, program, params.dtype, params.device, observables is None)
    angles, function, compiled = cache[key]
    return function.apply(compiled, *angles(params, features))


def _engine(name: str, program: Any, dtype: torch.dtype, device: torch.device, probabilities: bool) -> tuple[Any, Any]:
    # numba costs half a second to import: load it when a circuit first runs on a CPU
    if name == "frame":
        from qbmvae.circuits.engines.frame_numba import TileFunction, TileProgram

        return TileFunction, TileProgram(program, dtype, probabilities=probabilities)
    if name == "reversible":
        from qbmvae.circuits.engines.reversible import ReversibleFunction, ReversibleProgram

        return ReversibleFunction, ReversibleProgram(program, dtype, probabilities=probabilities)
    from qbmvae.circuits.engines.frame_torch import FrameFunction, TorchProgram

    keep = name == "frame-torch"
    return FrameFunction, TorchProgram(program, dtype, device, keep=keep, probabilities=probabilities)
