"""Diagnostics against cases that are known in closed form."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from qbmvae.circuits import Circuit, DepthInfusedLayer
from qbmvae.circuits.diagnostics import (
    dead_parameters,
    entangling_capability,
    expressibility,
    fourier_spectrum,
    gradient_variance,
)
from qbmvae.circuits.reuploading import reuploading_circuit
from samplers.errors import InputError


def test_the_drug_circuit_has_24_dead_weights():
    dead = dead_parameters(DepthInfusedLayer().circuit, ["Z0"])
    assert len(dead) == 24
    assert min(dead) >= 1280  # all in the last block


def test_dead_rotations_at_either_end():
    circuit = Circuit(2).rz(0, param=0).ry(0, param=1).ry(1, param=2).rz(0, param=3)
    assert dead_parameters(circuit, "Z0") == [0, 2, 3]
    assert dead_parameters(circuit, ["Z0", "X0"]) == [0, 2]


def test_gradient_variance_falls_with_width_for_global_mixing():
    table = gradient_variance(lambda n, d: reuploading_circuit(n, d), [2, 5], [4], n_samples=60, seed=0)
    assert list(table.columns) == ["n_qubits", "depth", "n_params", "variance", "dead"]
    assert table.variance[1] < table.variance[0] / 2


def test_one_rotation_has_the_variance_of_a_sine():
    table = gradient_variance(lambda n, d: Circuit(1).rx(0, param=0), [1], [1], n_samples=2000, seed=0)
    assert table.variance[0] == pytest.approx(0.5, abs=0.04)


def test_expressibility_orders_circuits():
    idle, turning = Circuit(1).rz(0, param=0), Circuit(1).rx(0, param=0)
    free = Circuit(1).u3(0, param=(0, 1, 2))
    values = [expressibility(c, n_pairs=400, seed=0) for c in (idle, turning, free)]
    assert values[0] == pytest.approx(np.log(75), abs=1e-6)  # all fidelities in the last of 75 equally likely bins
    assert values[0] > values[1] > values[2]


def test_entangling_capability_of_product_and_bell_states():
    assert entangling_capability(Circuit(2).rx(0, param=0).rx(1, param=1), n_samples=5, seed=0) == pytest.approx(0)
    assert entangling_capability(Circuit(2).h(0).cnot(0, 1), n_samples=2, seed=0) == pytest.approx(1)


def test_fourier_spectrum_of_known_functions():
    once = fourier_spectrum(Circuit(1).rx(0, feature=0), "Z0")
    np.testing.assert_allclose(once.coefficient, [0, 0.5], atol=1e-12)  # cos x
    twice = fourier_spectrum(Circuit(1).rx(0, feature=0).rx(0, feature=0), "Z0")
    np.testing.assert_allclose(twice.amplitude, [0, 0, 0.5], atol=1e-12)  # cos 2x
    half = fourier_spectrum(Circuit(2).h(0).h(1).crx(0, 1, feature=0).h(0), "Z0 X1")
    assert half.frequency.diff().dropna().eq(0.5).all()
    with pytest.raises(InputError, match="multiples of 1/2"):
        fourier_spectrum(Circuit(1).rx(0, feature=0, scale=0.3), "Z0")
    with pytest.raises(InputError, match="feature 1"):
        fourier_spectrum(Circuit(1).rx(0, feature=0), "Z0", 1)


def test_drawings_name_every_gate():
    circuit = Circuit(3).rx(0, param=0).cnot(0, 2).crz(1, 2, feature=1, scale=-2.0).sdg(1).swap(0, 1).ry(2, angle=0.25)
    drawn = circuit.draw()
    assert len(drawn.splitlines()) == 3
    for label in ("RX(p0)", "●", "X", "RZ(-2 x1)", "S†", "SWAP", "RY(0.25)"):
        assert label in drawn
    assert len({len(line) for line in drawn.splitlines()}) == 1
    assert max(map(len, DepthInfusedLayer().circuit.draw().splitlines())) <= 120
    assert len(circuit.draw("figure").axes) == 1
    with pytest.raises(InputError, match="neither"):
        circuit.draw("svg")


def test_importing_circuits_is_light():
    code = (
        "import sys, qbmvae.circuits; print([m for m in ('scvi', 'pennylane', 'qiskit', 'numba') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
