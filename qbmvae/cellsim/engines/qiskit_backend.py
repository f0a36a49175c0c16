"""A gene circuit sampled by Aer or by any Qiskit backend (IBM devices, noise models)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from samplers.errors import InputError, needs

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


class Measurable(Protocol):
    """What can be exported to Qiskit and measured: a `GeneCircuit`."""

    @property
    def n_genes(self) -> int:
        """Number of qubits."""

    def to_qiskit(self, measure: bool = False) -> QuantumCircuit:
        """Return the circuit."""


def sample_on_backend(
    circuit: Measurable,
    n_cells: int,
    backend: Any = None,
    *,
    noise_model: Any = None,
    seed: int | np.random.Generator | None = None,
    optimization_level: int = 1,
) -> np.ndarray:
    """Return bits measured by a Qiskit backend, `(n_cells, n_genes)` uint8, one row a shot, all genes jointly.

    Parameters
    ----------
    circuit
        The gene circuit.
    n_cells
        Shots.
    backend
        Aer's simulator by default; any Qiskit backend. An IBM device is run through `qiskit-ibm-runtime`'s
        `SamplerV2` (credentials are that package's own).
    noise_model
        An Aer noise model for the default backend.
    seed
        Seed of the simulators; devices ignore it.
    optimization_level
        Of the transpiler.

    Raises
    ------
    MissingExtraError
        Where Qiskit or Aer is not installed.
    InputError
        Where both a backend and a noise model are given.
    """
    with needs("qiskit", "circuits"):
        from qiskit.primitives import BackendSamplerV2
        from qiskit.transpiler.preset_passmanagers import generate_preset_pass_manager
    if backend is not None and noise_model is not None:
        raise InputError("give a backend or a noise model, not both: the noise model belongs to Aer's own backend")
    number = int(np.random.default_rng(seed).integers(2**31))
    backend = _aer(noise_model) if backend is None else backend
    measured = circuit.to_qiskit(measure=True)
    program = generate_preset_pass_manager(
        backend=backend, optimization_level=optimization_level, seed_transpiler=number
    ).run(measured)
    if type(backend).__module__.startswith("qiskit_ibm_runtime.ibm_backend"):
        from qiskit_ibm_runtime import SamplerV2

        job = SamplerV2(mode=backend).run([program], shots=n_cells)
    else:
        job = BackendSamplerV2(backend=backend, options={"seed_simulator": number}).run([program], shots=n_cells)
    return _shots(job.result()[0].data.meas, circuit.n_genes)


def _aer(noise_model: Any) -> Any:
    with needs("qiskit-aer", "circuits"):
        from qiskit_aer import AerSimulator
    return AerSimulator() if noise_model is None else AerSimulator(noise_model=noise_model)


def _shots(measured: Any, n_genes: int) -> np.ndarray:
    # packed big-endian bytes of an integer whose least significant bit is qubit 0
    bits = np.unpackbits(np.asarray(measured.array, dtype=np.uint8), axis=-1)[:, -n_genes:]
    return np.ascontiguousarray(bits[:, ::-1])
