"""Circuits to and from Qiskit; qubit k of ours is qubit k of theirs (their bit strings read from the last qubit)."""

from __future__ import annotations

from typing import Any

from qbmvae.circuits import inputs
from qbmvae.circuits.circuit import Circuit
from qbmvae.circuits.gates import GATES
from qbmvae.circuits.interop import affine
from qbmvae.circuits.operations import Angle
from samplers.errors import InputError, MissingExtraError

RENAMED = {"cnot": "cx", "u3": "u"}
GATE_OF = {RENAMED.get(name, name): name for name in GATES} | {"u3": "u3", "id": ""}
IGNORED = {"barrier", "id", "measure", "delay", "global_phase"}


def load() -> Any:
    """Import Qiskit, or say which extra holds it."""
    try:
        import qiskit
    except ImportError:
        raise MissingExtraError("qiskit", "circuits") from None
    return qiskit


def to_qiskit(circuit: Circuit, params: Any, features: Any) -> Any:
    """Return a QuantumCircuit; see `Circuit.to_qiskit`."""
    qiskit = load()
    vectors: dict[str, Any] = {
        "param": qiskit.circuit.ParameterVector("params", circuit.n_params),
        "feature": qiskit.circuit.ParameterVector("features", circuit.n_features),
    }
    if params is not None or features is not None:
        p, x = inputs.read(
            circuit.n_params if params is not None else 0,
            circuit.n_features if features is not None else 0,
            params,
            features,
            None,
        )
        if len(x) != 1:
            raise InputError(f"to_qiskit binds one sample: features has {len(x)} rows")
        if params is not None:
            vectors["param"] = p.tolist()
        if features is not None:
            vectors["feature"] = x[0].tolist()
    out = qiskit.QuantumCircuit(circuit.n_qubits)
    for op in circuit.operations:
        values = [_value(angle, vectors) for angle in op.angles]
        getattr(out, RENAMED.get(op.name, op.name))(*values, *op.qubits)
    return out


def _value(angle: Angle, vectors: dict[str, Any]) -> Any:
    if angle.source == "constant":
        return angle.offset
    value = vectors[angle.source][angle.index]
    value = value if angle.scale == 1 else value * angle.scale
    return value if angle.offset == 0 else value + angle.offset


def from_qiskit(source: Any) -> Circuit:
    """Read a QuantumCircuit; see `Circuit.from_qiskit`."""
    load()
    if not hasattr(source, "data") or not hasattr(source, "num_qubits"):
        raise InputError(f"from_qiskit takes a QuantumCircuit, not {type(source).__name__}")
    circuit = Circuit(source.num_qubits)
    free = [p for p in source.parameters if _vector(p) not in ("params", "features")]
    offset = 1 + max((p.index for p in source.parameters if _vector(p) == "params"), default=-1)
    place = {p: ("param", offset + k) for k, p in enumerate(free)}
    place |= {p: ("param", p.index) for p in source.parameters if _vector(p) == "params"}
    place |= {p: ("feature", p.index) for p in source.parameters if _vector(p) == "features"}

    def visit(data: Any, qubits: dict[Any, int], depth: int) -> None:
        for item in data:
            op = item.operation
            wires = tuple(qubits[q] for q in item.qubits)
            if op.name in IGNORED:
                continue
            if op.name in GATE_OF:
                circuit.append(GATE_OF[op.name], wires, [_angle(op.name, v, place) for v in op.params])
            elif getattr(op, "definition", None) is not None and depth < 20:
                visit(op.definition.data, dict(zip(op.definition.qubits, wires, strict=True)), depth + 1)
            else:
                raise InputError(f"from_qiskit: no gate of ours for {op.name} on qubits {wires}")

    visit(source.data, {q: k for k, q in enumerate(source.qubits)}, 0)
    return circuit


def _vector(parameter: Any) -> str | None:
    return getattr(getattr(parameter, "vector", None), "name", None)


def _angle(name: str, value: Any, place: dict[Any, Any]) -> Angle:
    names = list(getattr(value, "parameters", ()))
    if not names:
        return Angle("constant", offset=float(value))
    if len(names) > 1:
        raise InputError(f"gate {name}: its angle depends on {len(names)} parameters, not on one")
    scale, offset = affine.recover_function(name, lambda t: float(value.bind({names[0]: t})))
    source, index = place[names[0]]
    return Angle(source, index, scale, offset)
