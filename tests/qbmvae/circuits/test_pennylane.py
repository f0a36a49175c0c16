"""Values and gradients equal PennyLane's; circuits go there and come back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qbmvae.circuits import Angle, Circuit, DepthInfusedLayer, ReuploadingLayer
from qbmvae.circuits.gates import GATES, gate_matrix
from qbmvae.circuits.interop.pennylane import operator
from samplers.errors import InputError

qml = pytest.importorskip("pennylane")


@pytest.mark.parametrize("name", list(GATES))
def test_every_gate_is_pennylanes(name):
    spec = GATES[name]
    values = [0.7, -1.1, 2.3][: spec.n_angles]
    ours = gate_matrix(name, [torch.tensor(v, dtype=torch.float64) for v in values], torch.complex128, "cpu")
    theirs = qml.matrix(operator(name, values, range(spec.n_qubits)), wire_order=range(spec.n_qubits))
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-12)


def gradients(function, params, features):
    p, x = params.clone().requires_grad_(), features.clone().requires_grad_()
    out = function(p, x)
    weights = torch.cos(torch.arange(out.numel(), dtype=out.dtype)).reshape(out.shape)
    return [out.detach(), *torch.autograd.grad((out * weights).sum() + 0 * p.sum() + 0 * x.sum(), (p, x))]


def compare(circuit, observables, params, features):
    """float64 to 1e-10 and float32 to 1e-4, relative to the largest entry."""
    qnode = circuit.to_pennylane(observables)
    theirs = gradients(
        lambda p, x: torch.stack([torch.as_tensor(v) for v in qnode(p, x)], -1).reshape(len(x), -1), params, features
    )
    for dtype, bound in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        ours = gradients(lambda p, x: circuit.expval(observables, p, x), params.to(dtype), features.to(dtype))
        for a, b in zip(ours, theirs, strict=True):
            assert (a.double() - b).abs().max() <= bound * max(1.0, b.abs().max().item())


@settings(max_examples=20, deadline=None, derandomize=True)
@given(data=st.data())
def test_random_circuits_have_pennylanes_values_and_gradients(data):
    n = data.draw(st.integers(1, 4))
    circuit = Circuit(n).rx(0, feature=0).ry(n - 1, param=0)
    names = [name for name, spec in GATES.items() if spec.n_qubits <= n]
    for name in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=20)):
        spec = GATES[name]
        sources = [data.draw(st.sampled_from(["param", "feature"])) for _ in range(spec.n_angles)]
        angles = [Angle(s, data.draw(st.integers(0, 2)), data.draw(st.sampled_from([1.0, -0.5]))) for s in sources]
        circuit.append(name, data.draw(st.permutations(range(n)))[: spec.n_qubits], angles)
    strings = st.lists(st.sampled_from("XYZ"), min_size=n, max_size=n)
    observables = [
        " ".join(f"{c}{q}" for q, c in enumerate(s)) for s in data.draw(st.lists(strings, min_size=1, max_size=3))
    ]
    generator = torch.Generator().manual_seed(0)
    compare(
        circuit,
        [*observables, "Z0"],
        torch.randn(circuit.n_params, generator=generator, dtype=torch.float64),
        torch.randn(2, circuit.n_features, generator=generator, dtype=torch.float64),
    )


@pytest.mark.parametrize(
    ("layer", "observables"),
    [(DepthInfusedLayer(seed=0), ["Z0"]), (ReuploadingLayer(seed=0), ReuploadingLayer(seed=0).observables)],
)
def test_the_papers_circuits_have_pennylanes_gradients(layer, observables):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, layer.circuit.n_features, generator=generator, dtype=torch.float64)
    compare(layer.circuit, observables, layer.angles.detach().double().reshape(-1), x)


def example():
    c = Circuit(3).rx(0, param=0).ry(1, feature=0).rz(2, angle=0.3).h(0).s(1).cnot(0, 1).cz(1, 2)
    return c.crx(0, 2, param=1, scale=-0.5).u3(1, param=(0, 1, 2)).rzz(0, 2, feature=1).ccx(0, 1, 2).sdg(0)


def test_a_qnode_of_ours_comes_back_unchanged():
    assert Circuit.from_pennylane(example().to_pennylane()) == example()


def test_the_exported_probabilities():
    p, x = np.array([0.1, 0.2, 0.3]), np.array([[0.4, 0.5], [0.6, 0.7]])
    np.testing.assert_allclose(example().to_pennylane()(p, x), example().probabilities(p, x), atol=1e-10)


def test_tapes_keep_their_values():
    ops = [qml.RX(0.3, 0), qml.CNOT([0, 1]), qml.Rot(0.1, 0.2, 0.3, wires=1), qml.MultiRZ(0.4, wires=[0, 1, 2])]
    tape = qml.tape.QuantumScript(ops, [qml.expval(qml.Z(1))])
    circuit = Circuit.from_pennylane(tape)
    (expected,) = qml.execute([tape], qml.device("default.qubit"))
    assert circuit.expval("Z1").item() == pytest.approx(float(expected), abs=1e-10)
    assert circuit.n_params == 5


def test_a_foreign_qnode_with_arguments():
    @qml.qnode(qml.device("default.qubit", wires=3))
    def foreign(weights, inputs):
        qml.AngleEmbedding(inputs, wires=range(3), rotation="Y")
        qml.BasicEntanglerLayers(weights, wires=range(3))
        qml.RZ(2 * inputs[0] + 1, 0)
        return qml.expval(qml.X(0))

    weights, inputs = np.random.default_rng(0).normal(size=(2, 3)), np.array([0.3, 0.5, 0.7])
    circuit = Circuit.from_pennylane(foreign, weights, inputs)
    assert (circuit.n_params, circuit.n_features) == (6, 3)
    assert circuit.expval("X0", weights, inputs).item() == pytest.approx(float(foreign(weights, inputs)), abs=1e-10)


def test_a_qnode_without_arguments_is_constant():
    @qml.qnode(qml.device("default.qubit", wires=2))
    def bell():
        qml.Hadamard(0)
        qml.CNOT([0, 1])
        return qml.probs()

    circuit = Circuit.from_pennylane(bell)
    assert circuit.n_params == 0
    np.testing.assert_allclose(circuit.probabilities()[0], bell(), atol=1e-6)


def test_products_of_arguments_are_refused():
    @qml.qnode(qml.device("default.qubit", wires=1))
    def product(weights, inputs):
        qml.RX(weights[0] * inputs[0], 0)
        return qml.expval(qml.Z(0))

    with pytest.raises(InputError, match="rx"):
        Circuit.from_pennylane(product, np.ones(1), np.ones(1))
