"""A parameterised quantum circuit: a list of gates, evaluated exactly and differentiably."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch

from qbmvae.circuits import engines, inputs, observables
from qbmvae.circuits.gate_list import GateList
from qbmvae.circuits.gate_methods import GateMethods
from samplers.checks import integer
from samplers.errors import InputError


class Circuit(GateMethods):
    """A circuit on `n_qubits` qubits that starts in ``|0...0>``; qubit 0 is the most significant bit, as PennyLane's wires.

    Parameters
    ----------
    n_qubits
        Size of the register.

    Attributes
    ----------
    operations
        The gates, in time order.
    initial_params
        Parameters that an imported circuit came with, used where `params` is not given; else None.

    Examples
    --------
    >>> bell = Circuit(2).h(0).cnot(0, 1)
    >>> bell.expval(["Z0 Z1", "Z0"]).round().tolist()
    [[1.0, 0.0]]
    """

    @classmethod
    def of(cls, gates: GateList) -> Self:
        """Return the circuit of a list of gates, which it shares."""
        circuit = cls(gates.n_qubits)
        circuit.operations, circuit.initial_params = gates.operations, gates.initial_params
        return circuit

    def expval(
        self, observables_: str | Sequence[str], params: Any = None, features: Any = None, *, engine: str = "auto"
    ) -> torch.Tensor:
        """Return the exact expectation values of Pauli strings, differentiable in params and features.

        Parameters
        ----------
        observables_
            Pauli strings such as ["Z0", "X1", "Z0 Z2"].
        params
            (n_params,) trainable angles in radians, shared by the batch.
        features
            (batch, n_features) angles of each sample; None counts as a batch of one.
        engine
            "auto", or a name of `engines.ENGINES`.

        Returns
        -------
        (batch, n_observables), float32, or float64 where either input is float64.

        Raises
        ------
        InputError
            Where counts do not match, a value is not finite, an observable cannot be read, or memory does not suffice.
        """
        parsed = observables.parse_all(observables_, self.n_qubits)
        p, x = inputs.read(self.n_params, self.n_features, params, features, self.initial_params)
        return engines.expval(self, parsed, p, x, engine)

    def state(self, params: Any = None, features: Any = None) -> torch.Tensor:
        """Return the state vector, (batch, 2**n_qubits) complex, by the per-gate engine."""
        p, x = inputs.read(self.n_params, self.n_features, params, features, self.initial_params)
        return engines.state(self, p, x)

    def probabilities(self, params: Any = None, features: Any = None, *, engine: str = "auto") -> torch.Tensor:
        """Return the probability of every basis state, (batch, 2**n_qubits), differentiable; parameters as `expval`.

        Parameters
        ----------
        params, features, engine
            As in `expval`.
        """
        p, x = inputs.read(self.n_params, self.n_features, params, features, self.initial_params)
        return engines.probabilities(self, p, x, engine)

    def sample(
        self,
        params: Any = None,
        features: Any = None,
        *,
        shots: int = 1000,
        seed: int | np.random.Generator | None = None,
    ) -> torch.Tensor:
        """Draw measurements in the computational basis.

        Parameters
        ----------
        params, features
            As in `expval`.
        shots
            Measurements a sample of the batch.
        seed
            Seed or generator; the same seed gives the same draws.

        Returns
        -------
        (batch, shots, n_qubits) uint8 in {0, 1}.

        Raises
        ------
        InputError
            Where `shots` is no positive integer.
        """
        integer("shots", shots)
        with torch.no_grad():
            probabilities = self.probabilities(params, features).double().cpu().numpy()
        rng = np.random.default_rng(seed)
        cumulative = np.cumsum(probabilities, axis=1)
        uniform = rng.random((len(cumulative), int(shots))) * cumulative[:, -1:]
        index = np.stack([np.searchsorted(c, u, side="right") for c, u in zip(cumulative, uniform, strict=True)])
        index = np.minimum(index, probabilities.shape[1] - 1)
        shifts = np.arange(self.n_qubits - 1, -1, -1)
        return torch.from_numpy(((index[..., None] >> shifts) & 1).astype(np.uint8))

    def to_pennylane(
        self,
        observables_: str | Sequence[str] | None = None,
        *,
        device: Any = "default.qubit",
        shots: int | None = None,
    ) -> Any:
        """Return a PennyLane QNode of (params, features); features may be (n_features,) or (batch, n_features).

        Parameters
        ----------
        observables_
            Pauli strings whose expectation values it returns; None for the probabilities of all basis states.
        device
            Name of a PennyLane device, or a device.
        shots
            Measurements; None for exact values.
        """
        from qbmvae.circuits.interop import pennylane

        return pennylane.to_pennylane(self, observables_, device, shots)

    @classmethod
    def from_pennylane(cls, source: Any, *args: Any, **kwargs: Any) -> Self:
        """Read a PennyLane tape, QNode or quantum function; gates that are not ours are decomposed.

        The circuit is the same up to a global phase, or it is refused. A qubit is the position of its wire on the
        QNode's device; without one an integer wire is the qubit of that number, other labels count as they appear.

        Parameters
        ----------
        source
            A tape: every angle becomes a parameter, its value kept in `initial_params`. A QNode: see `args`.
        *args
            Example arguments (params, features) of the QNode, of which angles must be multiples plus constants; a
            QNode without arguments has constant angles.
        **kwargs
            Passed to the QNode.

        Raises
        ------
        InputError
            Angles that are not affine in one input, broadcast parameters, measurements in the middle, conditions,
            gates that depend on values, operations whose decomposition is an approximation.
        """
        from qbmvae.circuits.interop import pennylane

        return cls.of(pennylane.from_pennylane(source, *args, **kwargs))

    def to_qiskit(self, params: Any = None, features: Any = None) -> Any:
        """Return a Qiskit QuantumCircuit; what is not given stays a ParameterVector "params" or "features"."""
        from qbmvae.circuits.interop import qiskit

        return qiskit.to_qiskit(self, params, features)

    @classmethod
    def from_qiskit(cls, source: Any) -> Self:
        """Read a Qiskit QuantumCircuit: vectors "params" and "features" by name, other parameters in their order.

        Measurements at the end are left out.

        Raises
        ------
        InputError
            Angles that are not affine in one parameter, gates after a measurement, resets, classical control.
        """
        from qbmvae.circuits.interop import qiskit

        return cls.of(qiskit.from_qiskit(source))

    def to_qasm(self) -> str:
        """Return OpenQASM 3, with inputs params_0, ... and features_0, ..."""
        from qbmvae.circuits.interop import qasm

        return qasm.to_qasm(self)

    @classmethod
    def from_qasm(cls, text: str) -> Self:
        """Read OpenQASM 2 or 3 without control flow; inputs of other names become parameters in their order.

        Measurements at the end are left out.

        Raises
        ------
        InputError
            What cannot be read, with the statement; gates after a measurement, resets, conditions, loops, modifiers.
        """
        from qbmvae.circuits.interop import qasm

        return cls.of(qasm.from_qasm(text))

    def draw(self, kind: Literal["text", "figure"] = "text") -> Any:
        """Return a drawing: text (p3 is params[3], x0 is features[:, 0]), or a matplotlib figure.

        Raises
        ------
        InputError
            For another kind.
        """
        from qbmvae.circuits import draw

        if kind not in ("text", "figure"):
            raise InputError(f"draw: kind={kind!r} is neither 'text' nor 'figure'")
        return draw.text(self) if kind == "text" else draw.figure(self)
