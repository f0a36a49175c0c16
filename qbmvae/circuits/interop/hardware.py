"""Expectation values as a device would give them: shots, depolarising noise and readout errors, by PennyLane or Aer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from qbmvae.circuits import inputs
from qbmvae.circuits import observables as pauli
from qbmvae.circuits.circuit import Circuit
from qbmvae.circuits.interop import pennylane, qiskit
from qbmvae.circuits.observables import PauliString
from samplers.errors import InputError, nearest, needs


def noisy_expval(
    circuit: Circuit,
    observables: str | Sequence[str],
    params: Any = None,
    features: Any = None,
    *,
    device: Literal["pennylane", "aer"] = "pennylane",
    shots: int | None = None,
    depolarising: float = 0.0,
    readout: float = 0.0,
    seed: int | None = None,
) -> torch.Tensor:
    """Return expectation values of a noisy device, (batch, n_observables) float64, without gradients.

    Parameters
    ----------
    circuit, observables, params, features
        As in `Circuit.expval`.
    device
        "pennylane" (its `default.mixed`) or "aer" (Qiskit Aer's density matrix); both give the same values.
    shots
        Measurements an observable group; None for the exact values of the noisy device.
    depolarising
        Probability that a gate leaves a random Pauli error (X, Y, Z equally likely) on each of its qubits.
    readout
        Probability that a measured bit is read wrongly.
    seed
        Of the shots.

    Raises
    ------
    InputError
        If a probability is outside [0, 1], or the package is missing.
    """
    for name, value in (("depolarising", depolarising), ("readout", readout)):
        if not 0 <= value <= 1:
            raise InputError(f"{name}={value} is not a probability")
    if shots is not None and shots < 1:
        raise InputError(f"shots={shots}: give a positive integer, or None for exact values")
    parsed = pauli.parse_all(observables, circuit.n_qubits)
    p, x = inputs.read(circuit.n_params, circuit.n_features, params, features, circuit.initial_params)
    run = {"pennylane": _pennylane, "aer": _aer}.get(device)
    if run is None:
        raise InputError(f"unknown device {device!r}{nearest(device, ['pennylane', 'aer'])}")
    asked = _Asked(circuit, parsed, shots, depolarising, readout, seed)
    rows = [run(asked, p.detach().cpu().numpy(), row) for row in x.detach().cpu().numpy()]
    return torch.as_tensor(np.array(rows, dtype=float))


@dataclass(frozen=True)
class _Asked:
    circuit: Circuit
    parsed: tuple[PauliString, ...]
    shots: int | None
    depolarising: float
    readout: float
    seed: int | None


def _pennylane(asked: _Asked, params: np.ndarray, features: np.ndarray) -> list[float]:
    circuit, parsed = asked.circuit, asked.parsed
    qml = pennylane.load()
    device = qml.device("default.mixed", wires=circuit.n_qubits, seed=asked.seed)
    values = [1.0] * len(parsed)
    for bases, members in _bases(parsed):

        def evaluate(bases: dict[int, str] = bases, members: list[int] = members) -> Any:
            for op in circuit.operations:
                pennylane.operator(op.name, pennylane.angle_values(op.angles, params, features), op.qubits)
                for qubit in op.qubits if asked.depolarising else ():
                    qml.DepolarizingChannel(asked.depolarising, wires=qubit)
            for qubit, letter in bases.items():
                if letter == "Y":
                    qml.adjoint(qml.S(qubit))
                if letter in "XY":
                    qml.Hadamard(qubit)
                qml.BitFlip(asked.readout, wires=qubit)
            return [qml.expval(pennylane.observable(tuple((q, "Z") for q, _ in parsed[m]))) for m in members]

        qnode = qml.QNode(evaluate, device)
        found = (qnode if asked.shots is None else qml.set_shots(qnode, asked.shots))()
        for member, value in zip(members, found, strict=True):
            values[member] = float(value)
    return values


def _aer(asked: _Asked, params: np.ndarray, features: np.ndarray) -> list[float]:
    circuit, parsed = asked.circuit, asked.parsed
    with needs("qiskit-aer", "circuits"):
        from qiskit import transpile
        from qiskit_aer import AerSimulator
        from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error
    simulator, noise = AerSimulator(method="density_matrix"), NoiseModel()
    known = set(simulator.configuration().basis_gates)
    if asked.readout:
        noise.add_all_qubit_readout_error(
            ReadoutError([[1 - asked.readout, asked.readout], [asked.readout, 1 - asked.readout]])
        )
    # Aer's depolarising parameter counts the identity among the four errors
    error = depolarizing_error(4 * asked.depolarising / 3, 1).to_instruction() if asked.depolarising else None
    noisy = qiskit.to_qiskit(Circuit(circuit.n_qubits), None, None)
    for op in circuit.operations:
        single = Circuit(circuit.n_qubits).append(op.name, op.qubits, op.angles)
        bound = qiskit.to_qiskit(single, params[: single.n_params], features[None, : single.n_features])
        if bound.data[0].operation.name not in known:
            bound = transpile(bound, basis_gates=["u", "cx"])
        noisy.compose(bound, inplace=True)
        for qubit in op.qubits if error is not None else ():
            noisy.append(error, [qubit])
    values = [1.0] * len(parsed)
    for bases, members in _bases(parsed):
        turned = noisy.copy()
        for qubit, letter in bases.items():
            if letter == "Y":
                turned.sdg(qubit)
            if letter in "XY":
                turned.h(qubit)
        if asked.shots is None:
            turned.save_probabilities()
            probabilities = np.asarray(simulator.run(turned).result().data()["probabilities"])
            probabilities = _misread(probabilities, circuit.n_qubits, asked.readout)
        else:
            turned.measure_all()
            counts = (
                simulator.run(turned, noise_model=noise, shots=asked.shots, seed_simulator=asked.seed)
                .result()
                .get_counts()
            )
            probabilities = np.zeros(2**circuit.n_qubits)
            for bits, count in counts.items():
                probabilities[int(bits, 2)] = count / asked.shots
        index = np.arange(len(probabilities))
        for member in members:
            mask = sum(1 << qubit for qubit, _ in parsed[member])  # their qubit 0 is the least significant bit
            values[member] = float(probabilities @ (1 - 2 * (np.bitwise_count(index & mask) & 1).astype(float)))
    return values


def _bases(parsed: tuple[PauliString, ...]) -> list[tuple[dict[int, str], list[int]]]:
    """Gather observables that the same single-qubit basis changes measure."""
    groups: list[tuple[dict[int, str], list[int]]] = []
    for k, string in enumerate(parsed):
        for bases, members in groups:
            if all(bases.get(q, letter) == letter for q, letter in string):
                bases.update(string)
                members.append(k)
                break
        else:
            groups.append((dict(string), [k]))
    return groups


def _misread(probabilities: np.ndarray, n: int, readout: float) -> np.ndarray:
    if not readout:
        return probabilities
    tensor, flip = probabilities.reshape((2,) * n), np.array([[1 - readout, readout], [readout, 1 - readout]])
    for axis in range(n):
        tensor = np.moveaxis(np.tensordot(flip, tensor, axes=(1, axis)), 0, axis)
    return tensor.reshape(-1)
