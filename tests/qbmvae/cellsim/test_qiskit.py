from __future__ import annotations

import numpy as np
import pytest

from qbmvae.cellsim import GeneCircuit
from samplers.errors import InputError

qiskit = pytest.importorskip("qiskit")
pytest.importorskip("qiskit_aer")

EDGES = [
    (0, 1, "cry", 0.4),
    (1, 2),
    (2, 0, "crx", 0.3, "-"),
    (0, 3, "cx", 1, "-"),
    (3, 1, "crz", 0.7),
    (1, 3, "cry", 0.6),
]
CIRCUIT = GeneCircuit([0.3, 0.6, 0.5, 0.2], EDGES)


def test_qiskits_statevector_is_ours_with_the_bits_reversed():
    from qiskit.quantum_info import Statevector

    state = np.asarray(Statevector(CIRCUIT.to_qiskit()).probabilities())
    ours = state.reshape((2,) * 4).transpose(3, 2, 1, 0).reshape(-1)
    assert np.abs(CIRCUIT.probabilities() - ours).max() < 1e-12
    assert CIRCUIT.to_qiskit(measure=True).num_clbits == 4


def histogram(bits):
    return np.bincount(
        (bits.astype(int) << np.arange(bits.shape[1] - 1, -1, -1)).sum(axis=1), minlength=2 ** bits.shape[1]
    )


def test_aers_samples_agree_within_statistical_error():
    bits = CIRCUIT.sample(40_000, seed=1, engine="aer")
    p = CIRCUIT.probabilities()
    error = np.sqrt(p * (1 - p) / 40_000)
    assert (np.abs(histogram(bits) / 40_000 - p) < 5 * error + 1e-9).all()
    assert np.array_equal(bits, CIRCUIT.sample(40_000, seed=1, engine="aer"))
    lone = GeneCircuit([1.0, 0.0, 0.0], []).sample(20, seed=0, engine="aer")
    assert lone[:, 0].all() and not lone[:, 1:].any()


def test_noise_models_and_other_backends():
    from qiskit.providers.fake_provider import GenericBackendV2
    from qiskit_aer.noise import NoiseModel, ReadoutError

    from qbmvae.cellsim.engines.qiskit_backend import sample_on_backend

    noise = NoiseModel()
    noise.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]))
    off = sample_on_backend(GeneCircuit([0.0, 1.0]), 20_000, noise_model=noise, seed=0)
    assert off.mean(axis=0) == pytest.approx([0.1, 0.8], abs=0.015)
    backend = GenericBackendV2(num_qubits=4, seed=3)
    noisy = sample_on_backend(CIRCUIT, 4000, backend, seed=0)
    assert noisy.shape == (4000, 4) and np.abs(noisy.mean(axis=0) - CIRCUIT.marginals()).max() < 0.1
    with pytest.raises(InputError, match="not both"):
        sample_on_backend(CIRCUIT, 10, backend, noise_model=noise)
