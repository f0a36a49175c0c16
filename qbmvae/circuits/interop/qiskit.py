"""Circuits to and from Qiskit; qubit k of ours is qubit k of theirs (their bit strings read from the last qubit)."""

from __future__ import annotations

from typing import Any

from qbmvae.circuits import inputs
from qbmvae.circuits.gate_list import GateList
from qbmvae.circuits.gates import GATES
from qbmvae.circuits.interop import check
from qbmvae.circuits.operations import Angle
from samplers.errors import InputError, needs

RENAMED = {"cnot": "cx", "u3": "u"}
GATE_OF = {RENAMED.get(name, name): name for name in GATES} | {"u3": "u3", "id": ""}
IGNORED = {"barrier", "id", "delay", "global_phase"}
CONTROL_FLOW = {
    **dict.fromkeys(("if_else", "while_loop", "for_loop", "switch_case", "box"), "classical control flow"),
    **dict.fromkeys(("break_loop", "continue_loop", "store"), "classical control flow"),
    "reset": "a reset, not a unitary gate",
    "measure": "a measurement inside a gate",
    "initialize": "a preparation of a state, not a unitary gate (use StatePreparation)",
}


def load() -> Any:
    """Import Qiskit, or say which extra holds it.

    Raises
    ------
    MissingExtraError
        Where Qiskit is not installed.
    """
    with needs("qiskit", "circuits"):
        import qiskit
    return qiskit


def to_qiskit(circuit: GateList, params: Any, features: Any) -> Any:
    """Return a QuantumCircuit; see `Circuit.to_qiskit`.

    Parameters
    ----------
    circuit
        The gates.
    params, features
        Of one sample; symbols stand for those that are not given.

    Raises
    ------
    InputError
        For features of several samples.
    """
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


def from_qiskit(source: Any) -> GateList:
    """Read a QuantumCircuit; see `Circuit.from_qiskit`.

    Raises
    ------
    InputError
        For what is no circuit, or what has no exact counterpart.
    """
    load()
    if not hasattr(source, "data") or not hasattr(source, "num_qubits"):
        raise InputError(f"from_qiskit takes a QuantumCircuit, not {type(source).__name__}")
    circuit = GateList(source.num_qubits)
    free = [p for p in source.parameters if _vector(p) not in ("params", "features")]
    offset = 1 + max((p.index for p in source.parameters if _vector(p) == "params"), default=-1)
    place = {p: ("param", offset + k) for k, p in enumerate(free)}
    place |= {p: ("param", p.index) for p in source.parameters if _vector(p) == "params"}
    place |= {p: ("feature", p.index) for p in source.parameters if _vector(p) == "features"}
    measured: set[int] = set()
    for item in source.data:
        op, wires = item.operation, tuple(source.find_bit(q).index for q in item.qubits)
        if op.name == "measure":
            measured |= set(wires)
        elif op.name not in IGNORED:
            again = measured & set(wires)
            if again:
                raise InputError(
                    f"from_qiskit: {op.name} acts on qubit {min(again)} after its measurement; a circuit of ours measures "
                    "at its end only"
                )
            for name, qubits, values in _gates(op, wires, 0):
                circuit.append(name, qubits, [_angle(name, v, place) for v in values])
    return circuit


def _gates(op: Any, wires: tuple[int, ...], depth: int) -> list[tuple[str, tuple[int, ...], list[Any]]]:
    """Return an operation as gates of ours: itself, or its definition, which must be exact."""
    if op.name in CONTROL_FLOW or getattr(op, "condition", None) is not None:
        raise InputError(f"from_qiskit: {op.name} on qubits {wires} is {CONTROL_FLOW.get(op.name, 'conditional')}")
    if op.name in IGNORED:
        return []
    # a gate of that name that somebody else defined is read by its definition
    kind = getattr(op, "base_class", type(op))
    if op.name in GATE_OF and (kind.__module__ or "").startswith("qiskit.circuit.library"):
        if getattr(op, "ctrl_state", None) in (None, 2 ** getattr(op, "num_ctrl_qubits", 0) - 1):
            return [(GATE_OF[op.name], wires, list(op.params))]
    definition = getattr(op, "definition", None)
    if definition is None or depth >= 20:
        raise InputError(f"from_qiskit: no gate of ours for {op.name} on qubits {wires}")
    place = {q: k for k, q in enumerate(definition.qubits)}
    parts = [
        (name, qubits, values)
        for item in definition.data
        for name, qubits, values in _gates(item.operation, tuple(place[q] for q in item.qubits), depth + 1)
    ]
    if depth == 0 and len(wires) <= check.MAX_QUBITS and not any(getattr(v, "parameters", ()) for v in op.params):
        _require_exact(op, parts, len(wires))
    return [(name, tuple(wires[q] for q in qubits), values) for name, qubits, values in parts]


def _require_exact(op: Any, parts: list[tuple[str, tuple[int, ...], list[Any]]], n_qubits: int) -> None:
    from qiskit.exceptions import QiskitError
    from qiskit.quantum_info import Operator

    if any(getattr(v, "parameters", ()) for _, _, values in parts for v in values):
        return
    try:
        matrix = Operator(op).reverse_qargs().data
    except (QiskitError, TypeError):  # it has no matrix of its own: its definition is all that it is
        return
    gates = [(name, qubits, [float(v) for v in values]) for name, qubits, values in parts]
    if not check.same_up_to_phase(matrix, gates, n_qubits):
        raise InputError(f"from_qiskit: the definition of {op.name} is not exact (an approximation): write it as gates")


def _vector(parameter: Any) -> str | None:
    return getattr(getattr(parameter, "vector", None), "name", None)


def _angle(name: str, value: Any, place: dict[Any, Any]) -> Angle:
    names = list(getattr(value, "parameters", ()))
    if not names:
        return Angle("constant", offset=float(value))
    if len(names) > 1:
        raise InputError(f"gate {name}: its angle depends on {len(names)} parameters, not on one")
    slope = value.gradient(names[0])
    if getattr(slope, "parameters", ()):
        raise InputError(f"gate {name}: its angle is not a multiple of one parameter plus a constant")
    scale, offset = complex(slope), complex(value.bind({names[0]: 0}))
    if scale.imag or offset.imag:
        raise InputError(f"gate {name}: its angle is complex")
    source, index = place[names[0]]
    return Angle(source, index, scale.real, offset.real)
