"""Circuits to and from PennyLane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from qbmvae.circuits import observables as pauli
from qbmvae.circuits.circuit import Circuit
from qbmvae.circuits.gates import GATES
from qbmvae.circuits.interop import affine
from qbmvae.circuits.observables import PauliString
from qbmvae.circuits.operations import Angle, Source
from samplers.errors import InputError, MissingExtraError

NAMES = {
    "h": "Hadamard",
    "x": "PauliX",
    "y": "PauliY",
    "z": "PauliZ",
    "s": "S",
    "sdg": "Adjoint(S)",
    "sx": "SX",
    "sxdg": "Adjoint(SX)",
    "t": "T",
    "tdg": "Adjoint(T)",
    "rx": "RX",
    "ry": "RY",
    "rz": "RZ",
    "p": "PhaseShift",
    "u3": "U3",
    "cnot": "CNOT",
    "cy": "CY",
    "cz": "CZ",
    "ch": "CH",
    "swap": "SWAP",
    "iswap": "ISWAP",
    "crx": "CRX",
    "cry": "CRY",
    "crz": "CRZ",
    "cp": "ControlledPhaseShift",
    "rxx": "IsingXX",
    "ryy": "IsingYY",
    "rzz": "IsingZZ",
    "ccx": "Toffoli",
    "cswap": "CSWAP",
}
GATE_OF = {theirs: ours for ours, theirs in NAMES.items()}
IGNORED = {"Identity", "Barrier", "WireCut", "GlobalPhase", "Snapshot"}


def load() -> Any:
    """Import PennyLane, or say which extra holds it."""
    try:
        import pennylane
    except ImportError:
        raise MissingExtraError("pennylane", "circuits") from None
    return pennylane


def operator(name: str, angles: Sequence[Any], wires: Sequence[int]) -> Any:
    """Queue and return the PennyLane operator of one of our gates."""
    qml = load()
    theirs = NAMES[name]
    if theirs.startswith("Adjoint("):
        return qml.adjoint(getattr(qml, theirs[8:-1])(wires=wires))
    return getattr(qml, theirs)(*angles, wires=wires)


def observable(string: PauliString) -> Any:
    """Return the PennyLane operator of a Pauli string."""
    qml = load()
    factors = [getattr(qml, letter)(qubit) for qubit, letter in string]
    return qml.prod(*factors) if len(factors) > 1 else factors[0] if factors else qml.Identity(0)


def angle_values(angles: Sequence[Angle], params: Any, features: Any) -> list[Any]:
    """Evaluate angles on PennyLane's inputs: params (n_params,), features (n_features,) or (batch, n_features)."""
    source = {"param": params, "feature": features}
    return [a.offset if a.source == "constant" else source[a.source][..., a.index] * a.scale + a.offset for a in angles]


def to_pennylane(circuit: Circuit, observables: Sequence[str] | str | None, device: Any, shots: int | None) -> Any:
    """Return a QNode; see `Circuit.to_pennylane`."""
    qml = load()
    parsed = None if observables is None else pauli.parse_all(observables, circuit.n_qubits)
    if isinstance(device, str):
        device = qml.device(device, wires=circuit.n_qubits)

    def evaluate(params: Any = None, features: Any = None) -> Any:
        if params is None:
            params = circuit.initial_params
        params = np.asarray(params) if isinstance(params, (list, tuple)) else params
        features = np.asarray(features) if isinstance(features, (list, tuple)) else features
        for op in circuit.operations:
            operator(op.name, angle_values(op.angles, params, features), op.qubits)
        if parsed is None:
            return qml.probs(wires=range(circuit.n_qubits))
        return [qml.expval(observable(string)) for string in parsed]

    evaluate.shapes = (circuit.n_params, circuit.n_features)  # type: ignore[attr-defined]
    qnode = qml.QNode(evaluate, device)
    return qnode if shots is None else qml.set_shots(qnode, shots)


def from_pennylane(source: Any, *args: Any, **kwargs: Any) -> Circuit:
    """Read a tape or QNode; see `Circuit.from_pennylane`."""
    qml = load()
    if isinstance(source, qml.tape.QuantumScript):
        return _from_tape(source)
    if not callable(source):
        raise InputError(f"from_pennylane takes a tape or a QNode, not {type(source).__name__}")

    def tape(*values: Any) -> Any:
        if isinstance(source, qml.QNode):
            return qml.workflow.construct_tape(source, level="top")(*values, **kwargs)
        return qml.tape.make_qscript(source)(*values, **kwargs)

    if not args:
        shapes = getattr(getattr(source, "func", source), "shapes", None)
        args = () if shapes is None else tuple(np.zeros(s) if s else None for s in shapes)
    if len(args) > 2:
        raise InputError(f"from_pennylane: {len(args)} arguments; a circuit takes (params, features)")
    rng = np.random.default_rng(0)
    names: list[Source] = ["param", "feature"]
    shaped = [None if a is None else affine.probes(np.shape(a), rng) for a in args]
    tapes = [tape(*(None if s is None else s[k] for s in shaped)) for k in range(3)]
    sources = {
        name: [probe.reshape(-1) for probe in s] for name, s in zip(names, shaped, strict=False) if s is not None
    }
    flat = [_flatten(t) for t in tapes]
    if len({len(f) for f in flat}) > 1:
        raise InputError("from_pennylane: the gates of the circuit depend on its arguments")
    circuit = Circuit(_register(flat[0], getattr(source, "device", None)))
    for ops in zip(*flat, strict=True):
        name, wires, _ = ops[0]
        values = np.array([[np.asarray(v, dtype=float).reshape(-1)[0] for v in op[2]] for op in ops])
        angles = [affine.recover(name, column, sources) for column in values.T]
        circuit.append(name, wires, angles)
    if args and args[0] is not None:
        circuit.initial_params = _tensor(args[0])
    return circuit


def _from_tape(tape: Any) -> Circuit:
    """Every angle of a tape becomes a parameter, with its value as the initial one."""
    ops = _flatten(tape)
    values: list[float] = []
    circuit = Circuit(_register(ops, None))
    for name, wires, angles in ops:
        circuit.append(name, wires, [Angle("param", len(values) + k) for k in range(len(angles))])
        values.extend(float(np.asarray(v.detach() if isinstance(v, torch.Tensor) else v)) for v in angles)
    if values:
        circuit.initial_params = _tensor(values)
    return circuit


def _tensor(values: Any) -> torch.Tensor:
    array = values.detach() if isinstance(values, torch.Tensor) else torch.as_tensor(np.asarray(values, dtype=float))
    return array.double().reshape(-1)


def _flatten(tape: Any) -> list[tuple[str, tuple[int, ...], list[Any]]]:
    """Return (gate, wires, angles) for every operation, unknown ones decomposed."""
    out: list[tuple[str, tuple[int, ...], list[Any]]] = []
    labels = sorted(tape.wires.tolist()) if all(isinstance(w, (int, np.integer)) for w in tape.wires) else None
    known = {w: int(w) for w in labels} if labels is not None else {w: k for k, w in enumerate(tape.wires.tolist())}

    def visit(op: Any, depth: int) -> None:
        name = GATE_OF.get(op.name)
        if op.name in IGNORED:
            return
        if name is not None and GATES[name].n_qubits == len(op.wires):
            out.append((name, tuple(known[w] for w in op.wires), list(op.parameters)))
        elif op.has_decomposition and depth < 20:
            for part in op.decomposition():
                visit(part, depth + 1)
        else:
            raise InputError(f"from_pennylane: no gate of ours for {op.name} on wires {op.wires.tolist()}")

    for op in tape.operations:
        visit(op, 0)
    return out


def _register(ops: list[tuple[str, tuple[int, ...], list[Any]]], device: Any) -> int:
    used = max((max(wires) for _, wires, _ in ops), default=0) + 1
    wires = getattr(device, "wires", None)
    return max(used, len(wires) if wires is not None else 0)
