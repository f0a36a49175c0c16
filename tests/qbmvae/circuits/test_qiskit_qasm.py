"""Qiskit, Aer and OpenQASM: circuits go there and come back, and give the same numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qbmvae.circuits import Circuit
from qbmvae.circuits.gates import GATES
from qbmvae.circuits.interop.hardware import noisy_expval
from qbmvae.circuits.operations import Angle
from samplers.errors import InputError

OBSERVABLES = ["Z0", "X1", "Y2", "Z0 Z2", "X0 Y1"]
PARAMS, FEATURES = [0.4, -1.2, 0.8], [[0.9, 0.2]]


def every_gate():
    circuit = Circuit(3).h(0).ry(1, angle=0.4).rx(2, angle=1.1)
    for k, (name, spec) in enumerate(GATES.items()):
        qubits = [(k + j) % 3 for j in range(spec.n_qubits)]
        angles = [Angle("param", 0), Angle("feature", 1, 0.5, 0.25), Angle("param", 2, -1.0)]
        circuit.append(name, qubits, angles[: spec.n_angles])
    return circuit


def test_qasm_round_trip():
    circuit = every_gate()
    assert Circuit.from_qasm(circuit.to_qasm()) == circuit


def test_qiskit_round_trip():
    pytest.importorskip("qiskit")
    circuit = every_gate()
    assert Circuit.from_qiskit(circuit.to_qiskit()) == circuit


def test_qiskit_has_the_same_probabilities():
    pytest.importorskip("qiskit")
    from qiskit.quantum_info import Statevector

    circuit = every_gate()
    theirs = Statevector(circuit.to_qiskit(PARAMS, FEATURES)).reverse_qargs().probabilities()
    np.testing.assert_allclose(circuit.probabilities(np.array(PARAMS), np.array(FEATURES))[0], theirs, atol=1e-10)


def test_foreign_qiskit_circuits():
    qiskit = pytest.importorskip("qiskit")
    theta = qiskit.circuit.Parameter("theta")
    source = qiskit.QuantumCircuit(2)
    source.rx(2 * theta + 1, 0)
    source.rzx(0.4, 0, 1)
    source.barrier()
    source.measure_all()
    circuit = Circuit.from_qiskit(source)
    assert circuit.operations[0].angles == (Angle("param", 0, 2.0, 1.0),)
    from qiskit.quantum_info import Statevector

    source.remove_final_measurements()
    expected = Statevector(source.assign_parameters([0.3])).reverse_qargs().probabilities()
    np.testing.assert_allclose(circuit.probabilities(np.array([0.3]))[0], expected, atol=1e-10)


def test_qasm_2_with_definitions_and_broadcast():
    circuit = Circuit.from_qasm(
        """OPENQASM 2.0; include "qelib1.inc"; // a comment
        gate pair(a) x, y { cx x, y; rz(a/2) y; }
        qreg q[2]; creg c[2];
        h q; pair(pi/2) q[0], q[1]; u2(0, pi) q[1]; measure q -> c;""".replace("u2(0, pi)", "u3(pi/2, 0, pi)")
    )
    assert [op.name for op in circuit.operations] == ["h", "h", "cnot", "rz", "u3"]
    assert circuit.operations[3].angles[0].offset == pytest.approx(math.pi / 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("OPENQASM 3.0; h q[0];", "no qubits"),
        ("qubit[2] q; h q[2];", "outside"),
        ("qubit[2] q; frobnicate q[0];", "unknown gate"),
        ("qubit[2] q; rx(alpha) q[0];", "unknown name"),
        ("qubit[2] q; if (c) x q[0];", "cannot read|unknown"),
        ("qubit[2] q; rx(__import__('os')) q[0];", "cannot read"),
        ("qubit[2] q; rx(1/0) q[0];", "cannot read"),
        ("input float[64] a; input float[64] b; qubit q; rx(a*b) q;", "not a constant plus"),
    ],
)
def test_unreadable_qasm_is_named(text, message):
    with pytest.raises(InputError, match=message):
        Circuit.from_qasm(text)


@pytest.mark.parametrize("device", ["pennylane", "aer"])
def test_devices_give_the_same_expectation_values(device):
    pytest.importorskip({"pennylane": "pennylane", "aer": "qiskit_aer"}[device])
    circuit = every_gate()
    exact = circuit.expval(OBSERVABLES, np.array(PARAMS), np.array(FEATURES))
    found = noisy_expval(circuit, OBSERVABLES, PARAMS, FEATURES, device=device)
    np.testing.assert_allclose(found, exact, atol=1e-6)


@pytest.mark.parametrize("device", ["pennylane", "aer"])
def test_shots_are_within_statistical_error(device):
    pytest.importorskip({"pennylane": "pennylane", "aer": "qiskit_aer"}[device])
    circuit, shots = every_gate(), 4000
    exact = circuit.expval(OBSERVABLES, PARAMS, FEATURES)[0].numpy()
    found = noisy_expval(circuit, OBSERVABLES, PARAMS, FEATURES, device=device, shots=shots, seed=1)[0].numpy()
    assert (np.abs(found - exact) <= 4.5 * np.sqrt((1 - exact**2) / shots) + 1e-3).all()
    assert np.abs(found - exact).max() > 1e-6


def test_both_devices_agree_on_noise():
    pytest.importorskip("pennylane")
    pytest.importorskip("qiskit_aer")
    circuit = every_gate()
    exact = circuit.expval(OBSERVABLES, PARAMS, FEATURES).numpy()
    values = [
        noisy_expval(circuit, OBSERVABLES, PARAMS, FEATURES, device=device, depolarising=0.01, readout=0.03).numpy()
        for device in ("pennylane", "aer")
    ]
    np.testing.assert_allclose(*values, atol=1e-5)
    assert np.abs(values[0] - exact).max() > 0.05


def test_readout_errors_shrink_by_the_known_factor():
    pytest.importorskip("qiskit_aer")
    found = noisy_expval(Circuit(2).x(0), ["Z0", "Z0 Z1"], device="aer", readout=0.1)[0].numpy()
    np.testing.assert_allclose(found, [-0.8, -0.64], atol=1e-12)


def test_probabilities_of_errors_are_checked():
    with pytest.raises(InputError, match="depolarising=2"):
        noisy_expval(Circuit(1).x(0), "Z0", depolarising=2)
    with pytest.raises(InputError, match="unknown device"):
        noisy_expval(Circuit(1).x(0), "Z0", device="ibm")
