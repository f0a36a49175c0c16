"""Every engine against the per-gate reference, on random circuits of all gates, with all observables."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qbmvae.circuits import Angle, Circuit, DepthInfusedLayer, ReuploadingLayer
from qbmvae.circuits.gates import GATES

FAST = ["frame", "reversible", "frame-torch", "reversible-torch"]
N_PARAMS, N_FEATURES = 5, 3


@st.composite
def angles(draw):
    source = draw(st.sampled_from(["param", "feature", "constant"]))
    offset = draw(st.sampled_from([0.0, 0.7]))
    if source == "constant":
        return Angle("constant", offset=draw(st.floats(-4, 4)))
    index = draw(st.integers(0, (N_PARAMS if source == "param" else N_FEATURES) - 1))
    return Angle(source, index, draw(st.sampled_from([1.0, -0.5])), offset)


@st.composite
def circuits(draw, max_qubits=4, max_gates=25):
    n = draw(st.integers(1, max_qubits))
    circuit = Circuit(n)
    names = [name for name, spec in GATES.items() if spec.n_qubits <= n]
    for name in draw(st.lists(st.sampled_from(names), max_size=max_gates)):
        spec = GATES[name]
        qubits = draw(st.permutations(range(n)))[: spec.n_qubits]
        circuit.append(name, qubits, [draw(angles()) for _ in range(spec.n_angles)])
    return circuit


def observables(n):
    letters = st.lists(st.sampled_from("IXYZ"), min_size=n, max_size=n)
    strings = letters.map(lambda s: " ".join(f"{c}{q}" for q, c in enumerate(s) if c != "I") or "I")
    return st.lists(strings, min_size=1, max_size=5)


def values_and_gradients(function, params, features, dtype):
    """The output and its gradients, weighted so that no output hides another."""
    p, x = (t.to(dtype).requires_grad_() for t in (params, features))
    out = function(p, x)
    weights = torch.cos(torch.arange(out.numel(), dtype=dtype)).reshape(out.shape)
    # the zero terms keep both inputs in the graph of circuits that use neither
    total = (out * weights).sum() + 0 * p.sum() + 0 * x.sum()
    return [out.detach(), *torch.autograd.grad(total, (p, x))]


@pytest.mark.parametrize("engine", FAST)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_random_circuits(engine, data):
    circuit = data.draw(circuits())
    names = data.draw(observables(circuit.n_qubits))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    params = torch.randn(N_PARAMS, generator=generator, dtype=torch.float64)
    features = torch.randn(3, N_FEATURES, generator=generator, dtype=torch.float64)
    params, features = params[: circuit.n_params], features[:, : circuit.n_features]

    for run in (
        lambda p, x, e: circuit.expval(names, p, x, engine=e),
        lambda p, x, e: circuit.probabilities(p, x, engine=e),
    ):
        expected = values_and_gradients(lambda p, x, run=run: run(p, x, "per-gate"), params, features, torch.float64)
        exact = values_and_gradients(lambda p, x, run=run: run(p, x, engine), params, features, torch.float64)
        single = values_and_gradients(lambda p, x, run=run: run(p, x, engine), params, features, torch.float32)
        for e, a, b in zip(expected, exact, single, strict=True):
            torch.testing.assert_close(a, e, atol=1e-10, rtol=1e-10)
            torch.testing.assert_close(b.double(), e, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("engine", FAST)
@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_drug_circuit(engine, axis):
    layer = DepthInfusedLayer(n_features=24, n_qubits=4, axis=axis, seed=0)
    x = torch.randn(5, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    angles = layer.angles.detach().reshape(-1)
    runs = [
        values_and_gradients(lambda p, x, e=e: layer.circuit.expval("Z0", p, x, engine=e), angles, x, torch.float64)
        for e in ("per-gate", engine)
    ]
    for expected, found in zip(*runs, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("engine", FAST)
@pytest.mark.parametrize("batch", [1, 16, 17, 40])
def test_any_batch_size(engine, batch):
    layer = ReuploadingLayer(3, 2, seed=0)
    x = torch.randn(batch, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    runs = [
        values_and_gradients(
            lambda p, x, e=e: layer.circuit.expval(layer.observables, p, x, engine=e),
            layer.angles.detach().reshape(-1),
            x,
            torch.float64,
        )
        for e in ("per-gate", engine)
    ]
    for expected, found in zip(*runs, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


def test_the_compiled_engine_gives_the_same_on_several_threads():
    layer = ReuploadingLayer(4, 2, seed=0)
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    angles = layer.angles.detach().reshape(-1)

    def run():
        function = lambda p, x: layer.circuit.expval(layer.observables, p, x)  # noqa: E731
        return values_and_gradients(function, angles, x, torch.float32)

    one = run()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        two = run()
    finally:
        torch.set_num_threads(threads)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_a_larger_register():
    layer = ReuploadingLayer(13, 1, seed=0)
    x = torch.randn(1, 13, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    angles = layer.angles.detach().reshape(-1)
    runs = [
        values_and_gradients(
            lambda p, x, e=e: layer.circuit.expval(["Z0", "X5 Y12"], p, x, engine=e), angles, x, torch.float64
        )
        for e in ("per-gate", "auto")
    ]
    for expected, found in zip(*runs, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)
