"""Circuits to and from PennyLane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from qbmvae.circuits import observables as pauli
from qbmvae.circuits.gate_list import GateList
from qbmvae.circuits.gates import GATES
from qbmvae.circuits.interop import affine, check
from qbmvae.circuits.observables import PauliString
from qbmvae.circuits.operations import Angle, Source
from samplers.errors import InputError, needs

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
    """Import PennyLane, or say which extra holds it.

    Raises
    ------
    MissingExtraError
        Where PennyLane is not installed.
    """
    with needs("pennylane", "circuits"):
        import pennylane
    return pennylane


def operator(name: str, angles: Sequence[Any], wires: Sequence[int]) -> Any:
    """Queue and return the PennyLane operator of one of our gates.

    Parameters
    ----------
    name
        Of the gate.
    angles
        Numbers or PennyLane's own values.
    wires
        On which it acts.
    """
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
    """Evaluate angles on PennyLane's inputs: params (n_params,), features (n_features,) or (batch, n_features).

    Parameters
    ----------
    angles
        Of one gate.
    params
        `(n_params,)`.
    features
        `(n_features,)` or `(batch, n_features)`.
    """
    source = {"param": params, "feature": features}
    return [a.offset if a.source == "constant" else source[a.source][..., a.index] * a.scale + a.offset for a in angles]


def to_pennylane(circuit: GateList, observables: Sequence[str] | str | None, device: Any, shots: int | None) -> Any:
    """Return a QNode; see `Circuit.to_pennylane`.

    Parameters
    ----------
    circuit
        The gates.
    observables, device, shots
        As in `Circuit.to_pennylane`.
    """
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


def from_pennylane(source: Any, *args: Any, **kwargs: Any) -> GateList:
    """Read a tape or QNode; see `Circuit.from_pennylane`.

    Raises
    ------
    InputError
        For what is no tape or QNode, or what has no exact counterpart.
    """
    qml = load()
    if isinstance(source, qml.tape.QuantumScript):
        return _from_tape(source)
    if not callable(source):
        raise InputError(f"from_pennylane takes a tape or a QNode, not {type(source).__name__}")
    if not args:
        shapes = getattr(getattr(source, "func", source), "shapes", None)
        args = () if shapes is None else tuple(np.zeros(s) if s else None for s in shapes)
    if len(args) > 2:
        raise InputError(f"from_pennylane: {len(args)} arguments; a circuit takes (params, features)")
    rng = np.random.default_rng(0)
    names: list[Source] = ["param", "feature"]
    shaped = [None if a is None else affine.probes(np.shape(a), rng) for a in args]
    trials = [[None if s is None else s[k] for s in shaped] for k in range(len(affine.RANGES) if args else 1)]
    device = getattr(source, "device", None)
    flat = [_flatten(_tape(source, trial, kwargs), device) for trial in trials]
    if len({tuple((name, wires) for name, wires, _ in ops) for ops, _ in flat}) > 1:
        raise InputError("from_pennylane: which gates the circuit has depends on the values of its arguments")
    sources = {
        name: [probe.reshape(-1) for probe in s] for name, s in zip(names, shaped, strict=False) if s is not None
    }
    circuit = GateList(flat[0][1])
    for ops in zip(*(ops for ops, _ in flat), strict=True):
        name, wires, _ = ops[0]
        values = np.array([op[2] for op in ops])
        circuit.append(name, wires, [affine.recover(name, column, sources) for column in values.T])
    if args and args[0] is not None:
        circuit.initial_params = _tensor(args[0])
    return circuit


def _tape(source: Any, values: list[Any], kwargs: dict[str, Any]) -> Any:
    """Return what a QNode (after the user's own transforms) or a quantum function does at trial values."""
    qml = load()
    try:
        if not isinstance(source, qml.QNode):
            return qml.tape.make_qscript(source)(*values, **kwargs)
        tapes, _ = qml.workflow.construct_batch(source, level="user")(*values, **kwargs)
    except Exception as error:
        if not values:
            raise
        raise InputError(
            f"from_pennylane: the function fails at trial values of its arguments ({type(error).__name__}: {error}); "
            "positional arguments are (params, features), everything else goes by keyword"
        ) from error
    if len(tapes) != 1:
        raise InputError(f"from_pennylane: the QNode's transforms make {len(tapes)} circuits of it; give one circuit")
    return tapes[0]


def _from_tape(tape: Any) -> GateList:
    """Every angle of a tape becomes a parameter, with its value as the initial one."""
    ops, n_qubits = _flatten(tape, None)
    values: list[float] = []
    circuit = GateList(n_qubits)
    for name, wires, angles in ops:
        circuit.append(name, wires, [Angle("param", len(values) + k) for k in range(len(angles))])
        values.extend(angles)
    if values:
        circuit.initial_params = _tensor(values)
    return circuit


def _tensor(values: Any) -> torch.Tensor:
    array = values.detach() if isinstance(values, torch.Tensor) else torch.as_tensor(np.asarray(values, dtype=float))
    return array.double().reshape(-1)


def _flatten(tape: Any, device: Any) -> tuple[list[tuple[str, tuple[int, ...], list[float]]], int]:
    """Return (gate, qubits, angles) for every operation, unknown ones decomposed, and the size of the register."""
    qml = load()
    known, n_qubits = _register(tape, device)

    def visit(op: Any, depth: int) -> list[tuple[str, tuple[Any, ...], list[float]]]:
        if isinstance(op, qml.measurements.MeasurementProcess) or "MidMeasure" in op.name:
            raise InputError(
                "from_pennylane: the circuit measures in the middle; a circuit of ours measures at its end"
            )
        if isinstance(op, qml.ops.Conditional):
            raise InputError(f"from_pennylane: {op.name} depends on a measurement; a circuit of ours has no conditions")
        if op.name in IGNORED:
            return []
        name = GATE_OF.get(op.name) if type(op).__module__.startswith("pennylane.") else None
        if name is not None and GATES[name].n_qubits == len(op.wires):
            return [(name, tuple(op.wires), [_number(op, v) for v in op.parameters])]
        if not op.has_decomposition or depth >= 20:
            raise InputError(f"from_pennylane: no gate of ours for {op.name} on wires {op.wires.tolist()}")
        parts = [gate for part in op.decomposition() for gate in visit(part, depth + 1)]
        if depth == 0 and len(op.wires) <= check.MAX_QUBITS and op.has_matrix:
            place = {w: k for k, w in enumerate(op.wires)}
            local = [
                (gate, [place[w] for w in wires], angles) for gate, wires, angles in parts if set(wires) <= {*place}
            ]
            matrix = qml.matrix(op, wire_order=op.wires)
            if len(local) < len(parts) or not check.same_up_to_phase(matrix, local, len(place)):
                raise InputError(
                    f"from_pennylane: the decomposition of {op.name} on wires {op.wires.tolist()} is not exact (it is an "
                    "approximation, or needs more wires): write it as gates"
                )
        return parts

    out = [
        (name, tuple(known[w] for w in wires), angles) for op in tape.operations for name, wires, angles in visit(op, 0)
    ]
    return out, n_qubits


def _number(op: Any, value: Any) -> float:
    array = np.asarray(value.detach() if isinstance(value, torch.Tensor) else value)
    if array.size != 1:
        raise InputError(
            f"from_pennylane: {op.name} on wires {op.wires.tolist()} has {array.size} values for one angle (a broadcast "
            "batch): give one sample, features of shape (n_features,); a circuit takes the batch when it is evaluated"
        )
    return float(array.reshape(()))


def _register(tape: Any, device: Any) -> tuple[dict[Any, int], int]:
    """Return the qubit of each wire label: the position among the device's wires, else an integer label itself."""
    used = tape.wires.tolist()
    wires = getattr(device, "wires", None)
    if wires is not None and len(wires):
        labels = wires.tolist()
        missing = [w for w in used if w not in labels]
        if missing:
            raise InputError(f"from_pennylane: wire {missing[0]!r} is not one of the device's wires {labels}")
        return {w: k for k, w in enumerate(labels)}, len(labels)
    if all(isinstance(w, (int, np.integer)) and w >= 0 for w in used):
        return {w: int(w) for w in used}, max(map(int, used), default=0) + 1
    return {w: k for k, w in enumerate(used)}, max(len(used), 1)
