"""What an importer reads is exact, or it is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qbmvae.circuits import Angle, Circuit
from qbmvae.circuits.gates import GATES
from samplers.errors import InputError

qml = pytest.importorskip("pennylane")
qiskit = pytest.importorskip("qiskit")


def qnode(function, wires=2):
    return qml.QNode(function, qml.device("default.qubit", wires=wires))


@pytest.mark.parametrize(
    "angle",
    [
        lambda w: np.abs(w[0]),
        lambda w: np.maximum(w[0], 0.0),
        lambda w: np.clip(w[0], -10, 10),
        lambda w: np.mod(w[0], 20.0),
        lambda w: np.sin(w[0]),
        lambda w: w[0] ** 2,
        lambda w: w[0] + w[1],
        lambda w: w[0] / 0.0,
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_pennylane_angles_that_are_not_affine(angle):
    def circuit(w):
        qml.RX(angle(w), 0)
        return qml.expval(qml.Z(0))

    with pytest.raises(InputError, match="rx"):
        Circuit.from_pennylane(qnode(circuit), np.ones(2))


def test_pennylane_gates_that_depend_on_values():
    def circuit(w):
        (qml.RX if w[0] > 0 else qml.RY)(w[0], 0)
        return qml.expval(qml.Z(0))

    with pytest.raises(InputError, match="which gates"):
        Circuit.from_pennylane(qnode(circuit), np.ones(1))


def test_pennylane_broadcast_parameters():
    def circuit(w, x):
        qml.RX(x[:, 0], 0)
        qml.RY(w[0], 1)
        return qml.expval(qml.Z(0))

    with pytest.raises(InputError, match="broadcast"):
        Circuit.from_pennylane(qnode(circuit), np.ones(1), np.ones((3, 1)))
    tape = qml.tape.QuantumScript([qml.RX(np.array([0.1, 0.2]), 0)], [qml.expval(qml.Z(0))])
    with pytest.raises(InputError, match="broadcast"):
        Circuit.from_pennylane(tape)


def test_pennylane_measurements_and_conditions_in_the_middle():
    def measured(w):
        qml.Hadamard(0)
        qml.measure(0)
        qml.RX(w[0], 1)
        return qml.expval(qml.Z(1))

    def conditional(w):
        m = qml.measure(0)
        qml.cond(m, qml.RX)(w[0], 1)
        return qml.expval(qml.Z(1))

    for function in (measured, conditional):
        with pytest.raises(InputError, match="in the middle"):
            Circuit.from_pennylane(qnode(function), np.ones(1))


def test_pennylane_approximate_decompositions():
    ops = [qml.TrotterProduct(qml.X(0) + qml.Z(0), 0.7, n=1)]
    circuit = Circuit.from_pennylane(qml.tape.QuantumScript([*ops, qml.RX(0.3, 0)]))  # a product formula is what it is
    expected = qml.matrix(qml.tape.QuantumScript([*ops[0].decomposition(), qml.RX(0.3, 0)]), wire_order=[0])[:, 0]
    np.testing.assert_allclose(circuit.probabilities()[0], np.abs(expected) ** 2, atol=1e-10)


class Halfway(qml.operation.Operation):
    """An operation whose decomposition is not its matrix."""

    num_wires = 1
    name = "RX"

    @staticmethod
    def compute_matrix(angle):
        return qml.RX.compute_matrix(angle)

    @staticmethod
    def compute_decomposition(angle, wires):
        return [qml.RX(angle / 2, wires=wires)]


def test_pennylane_operations_are_checked_against_their_matrix():
    with pytest.raises(InputError, match="not exact"):
        Circuit.from_pennylane(qml.tape.QuantumScript([Halfway(0.4, wires=0)]))


def test_pennylane_open_controls_and_phases_under_control():
    ops = [qml.Hadamard(0), qml.Hadamard(1), qml.ctrl(qml.X(1), 0, control_values=[0])]
    ops += [qml.ctrl(qml.GlobalPhase(0.7), 0), qml.ctrl(qml.RX(0.3, 1), 0, control_values=[0]), qml.RY(0.5, 0)]
    tape = qml.tape.QuantumScript(ops, [qml.probs(wires=[0, 1])])
    (expected,) = qml.execute([tape], qml.device("default.qubit"))
    np.testing.assert_allclose(Circuit.from_pennylane(tape).probabilities()[0], expected, atol=1e-10)


def test_pennylane_wires_in_the_devices_order():
    def circuit():
        qml.X("b")
        qml.RY(0.4, 7)
        return qml.probs(wires=["a", 7, "b"])

    found = Circuit.from_pennylane(qnode(circuit, ["a", 7, "b"]))
    np.testing.assert_allclose(found.probabilities()[0], qnode(circuit, ["a", 7, "b"])(), atol=1e-6)
    assert [op.qubits for op in found.operations] == [(2,), (1,)]
    tape = qml.tape.QuantumScript([qml.X("b"), qml.CNOT(["b", "a"])])
    assert [op.qubits for op in Circuit.from_pennylane(tape).operations] == [(0,), (0, 1)]


def test_pennylane_transforms_of_the_user_are_applied():
    @qml.transform
    def doubled(tape):
        return [qml.tape.QuantumScript([*tape.operations, *tape.operations], tape.measurements)], lambda r: r[0]

    def circuit(w):
        qml.RX(w[0], 0)
        return qml.expval(qml.Z(0))

    assert len(Circuit.from_pennylane(doubled(qnode(circuit)), np.ones(1))) == 2


def test_pennylane_functions_that_fail_at_trial_values():
    def circuit(w, n_layers):
        for _ in range(n_layers):
            qml.RX(w[0], 0)
        return qml.expval(qml.Z(0))

    with pytest.raises(InputError, match="by keyword"):
        Circuit.from_pennylane(qnode(circuit), np.ones(1), 2)
    assert len(Circuit.from_pennylane(qnode(circuit), np.ones(1), n_layers=2)) == 2


def bad_qiskit():
    a, b = qiskit.circuit.Parameter("a"), qiskit.circuit.Parameter("b")

    def make(build, bits=1):
        circuit = qiskit.QuantumCircuit(2, bits)
        build(circuit)
        return circuit

    def conditional(c):
        c.measure(0, 0)
        with c.if_test((0, 1)):
            c.x(1)

    def middle(c):
        c.measure(0, 0)
        c.h(0)

    def hidden(c):
        inner = qiskit.QuantumCircuit(1, name="inner")
        inner.reset(0)
        c.append(inner.to_instruction(), [0])

    return [
        (make(lambda c: c.rx(a * b, 0)), "2 parameters"),
        (make(lambda c: c.rx(a * a, 0)), "not a multiple"),
        (make(lambda c: c.rx(a.sin(), 0)), "not a multiple"),
        (make(lambda c: c.rx(a.abs(), 0)), "not a multiple"),
        (make(lambda c: c.reset(0)), "reset"),
        (make(hidden), "reset"),
        (make(middle), "after its measurement"),
        (make(conditional), "control flow"),
        (make(lambda c: c.initialize([0, 1], 0)), "preparation"),
    ]


@pytest.mark.parametrize(("circuit", "message"), bad_qiskit())
def test_qiskit_circuits_that_are_refused(circuit, message):
    with pytest.raises(InputError, match=message):
        Circuit.from_qiskit(circuit)


def test_qiskit_gates_of_a_user_that_share_a_name():
    inner = qiskit.QuantumCircuit(1, name="h")
    inner.ry(0.4, 0)
    source = qiskit.QuantumCircuit(1)
    source.append(inner.to_gate(), [0])
    assert [op.name for op in Circuit.from_qiskit(source).operations] == ["ry"]


def test_qiskit_controls_phases_and_product_formulas():
    from qiskit.circuit.library import PauliEvolutionGate, XGate
    from qiskit.quantum_info import SparsePauliOp, Statevector

    inner = qiskit.QuantumCircuit(1, global_phase=0.7)
    inner.rx(0.3, 0)
    source = qiskit.QuantumCircuit(3)
    source.h([0, 1])
    source.append(XGate().control(2, ctrl_state=1), [0, 1, 2])
    source.append(inner.to_gate().control(1), [0, 2])
    source.h(0)
    expected = Statevector(source).reverse_qargs().probabilities()
    np.testing.assert_allclose(Circuit.from_qiskit(source).probabilities()[0], expected, atol=1e-6)
    product = qiskit.QuantumCircuit(1)
    product.append(PauliEvolutionGate(SparsePauliOp(["X", "Z"]), 0.7), [0])
    try:
        found = Circuit.from_qiskit(product).probabilities()[0]
    except InputError as error:
        assert "not exact" in str(error)
    else:
        np.testing.assert_allclose(found, Statevector(product).probabilities(), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("qubit[2] q; bit c; c = measure q[0]; x q[0];", "after its measurement"),
        ("qubit[2] q; bit[2] c; c=measure q; cx q[0], q[1];", "after its measurement"),
        ("OPENQASM 2.0; qreg q[2]; creg c[2]; measure q[0] -> c[0]; h q[0];", "after its measurement"),
        ("qubit[2] q; reset q[0];", "resets"),
        ("qubit[2] q; bit c; if (c == 1) x q[0];", "cannot read"),
        ("qubit[2] q; bit c; if (c == 1) { x q[0]; }", "cannot read"),
        ("qubit[2] q; for int i in [0:1] { x q[i]; }", "cannot read"),
        ("qubit[2] q; ctrl @ x q[0], q[1];", "cannot read"),
        ("qubit[2] q; qubit[3] r; cx q, r;", "different sizes"),
        ("qubit[2] q; qubit[3] q; x q[0];", "declared twice"),
        ("OPENQASM 3.0; qubit q; rx(1/2) q;", "1.0/2"),
        ("OPENQASM 3.0; qubit q; rx(2^2) q;", "bitwise"),
        ("qubit q; rx(1e999) q;", "finite"),
        ("qubit q; rx(exp(1000)) q;", "cannot read"),
        ("gate pair a, b { cx a, b; } qubit[2] q; pair q[0];", "2 qubits"),
    ],
)
def test_qasm_that_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        Circuit.from_qasm(text)


def test_qasm_definitions_under_a_name_of_ours():
    own = Circuit.from_qasm("gate sx a { ry(0.4) a; } gate rxx(t) a, b { rzz(t) a, b; } qubit[2] q; sx q[0]; rxx(.3) q;"
                            .replace("rxx(.3) q;", "rxx(.3) q[0], q[1];"))  # fmt: skip
    assert [op.name for op in own.operations] == ["ry", "rzz"]
    same = Circuit.from_qasm(
        "OPENQASM 2.0; gate rzz(t) a, b { cx a, b; u1(t) b; cx a, b; } qreg q[2]; rzz(pi/2) q[0], q[1];"
    )
    assert [op.name for op in same.operations] == ["rzz"]


def test_qasm_library_gates():
    text = "OPENQASM 2.0; qreg q[2]; u2(0.1, 0.2) q[0]; u2(0.3, 0.4) q[1]; cu3(0.5, 0.6, 0.7) q[0], q[1]; h q[0];"
    from qiskit import qasm2
    from qiskit.quantum_info import Statevector

    theirs = qasm2.loads(text.replace("qreg", 'include "qelib1.inc"; qreg'))
    expected = Statevector(theirs).reverse_qargs().probabilities()
    np.testing.assert_allclose(Circuit.from_qasm(text).probabilities()[0], expected, atol=1e-6)


@st.composite
def circuits(draw):
    n = draw(st.integers(1, 4))
    circuit = Circuit(n)
    names = [name for name, spec in GATES.items() if spec.n_qubits <= n]
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=15)):
        sources = [draw(st.sampled_from(["param", "feature", "constant"])) for _ in range(GATES[name].n_angles)]
        angles = [
            Angle("constant", offset=draw(st.floats(-4, 4)))
            if s == "constant"
            else Angle(
                s, draw(st.integers(0, 2)), draw(st.sampled_from([1.0, -0.5])), draw(st.sampled_from([0.0, 0.7]))
            )
            for s in sources
        ]
        circuit.append(name, draw(st.permutations(range(n)))[: GATES[name].n_qubits], angles)
    return circuit


@settings(max_examples=30, deadline=None, derandomize=True)
@given(circuit=circuits(), package=st.sampled_from(["pennylane", "qiskit", "qasm"]))
def test_random_circuits_come_back(circuit, package):
    back = {
        "pennylane": lambda c: Circuit.from_pennylane(c.to_pennylane()),
        "qiskit": lambda c: Circuit.from_qiskit(c.to_qiskit()),
        "qasm": lambda c: Circuit.from_qasm(c.to_qasm()),
    }[package](circuit)
    params, features = np.array([0.3, -1.1, 2.2]), np.array([[0.7, -0.4, 1.9]])
    given = lambda c: (params[: c.n_params], features[:, : c.n_features])  # noqa: E731
    first, second = ((c.probabilities(*given(c), engine="per-gate")[0].numpy()) for c in (circuit, back))
    np.testing.assert_allclose(second[: len(first)], first, atol=1e-6)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(circuit=circuits(), order=st.permutations(range(4)), data=st.data())
def test_random_tapes_with_labels_have_pennylanes_probabilities(circuit, order, data):
    labels = [["a", "b", 7, -1][k] for k in order][: circuit.n_qubits]
    from qbmvae.circuits.interop.pennylane import operator

    def function():
        for op in circuit.operations:
            values = [a.offset if a.source == "constant" else a.scale * 0.6 + a.offset for a in op.angles]
            operator(op.name, values, [labels[q] for q in op.qubits])
        return qml.probs(wires=labels)

    node = qnode(function, labels)
    np.testing.assert_allclose(Circuit.from_pennylane(node).probabilities()[0], node(), atol=1e-5)


@pytest.mark.parametrize(
    ("params", "features", "message"),
    [
        (np.zeros((3, 2)), [[0.0]], r"params has shape \(3, 2\)"),
        ([0.0, 0.0], [0.0, 1.0, 2.0], r"features has shape \(3,\)"),
        ([0.0, 0.0], 0.5, r"features has shape \(\)"),
        ([0.0, 0.0], np.zeros((2, 2, 1)), r"features has shape \(2, 2, 1\)"),
        (0.0, [[0.0]], r"params has shape \(\)"),
        ([0.0], [[0.0]], "params has 1 values"),
        ([0.0, 0.0, 0.0], [[0.0]], "params has 3 values, the circuit uses 2"),
        ([0.0, 0.0], [[0.0, 0.0]], "features has 2 columns, the circuit uses 1"),
    ],
)
def test_wrong_shapes_are_named(params, features, message):
    circuit = Circuit(2).rx(0, param=0).ry(1, param=1).rz(0, feature=0)
    with pytest.raises(InputError, match=message):
        circuit.expval("Z0", params, features)


@pytest.mark.parametrize("angle", [("param", -1), ("parameter", 0), ("param", 0.5), ("constant", 0, 1.0, math.nan)])
def test_angles_are_checked(angle):
    with pytest.raises(InputError, match="angle"):
        Angle(*angle)
