"""What a circuit can and cannot do: dead parameters, gradient variance, expressibility, entanglement, Fourier spectrum."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from qbmvae.circuits import inputs
from qbmvae.circuits import observables as pauli
from qbmvae.circuits.circuit import Circuit
from qbmvae.circuits.lowering import alive, lower
from qbmvae.circuits.pauli import from_letters
from samplers.errors import InputError


def dead_parameters(circuit: Circuit, observables: str | Sequence[str]) -> list[int]:
    """Return the positions of parameters that cannot change any of the observables, whatever the angles.

    A rotation is dead if, with all Cliffords pushed to the end, it commutes with every observable and every live
    rotation after it, or acts on ``|0...0>`` by a phase; a parameter is dead if all its rotations are. The gradient of
    a dead parameter is exactly zero. A parameter that is not listed may still have none by cancellation.
    """
    parsed = pauli.parse_all(observables, circuit.n_qubits)
    rotations, tableau = lower(circuit)
    live = alive(rotations, [tableau.image(from_letters(o, circuit.n_qubits)) for o in parsed])
    used = {
        r.angle.index
        for r, keep in zip(rotations, live, strict=True)
        if keep and r.angle.source == "param" and r.angle.scale
    }
    return [k for k in range(circuit.n_params) if k not in used]


def gradient_variance(
    build: Callable[[int, int], Circuit],
    widths: Sequence[int],
    depths: Sequence[int],
    *,
    observable: str = "Z0",
    n_samples: int = 100,
    seed: int | np.random.Generator | None = None,
) -> pd.DataFrame:
    """Return the variance of the gradient over random angles by width and depth: an exponential fall is a barren plateau.

    Parameters
    ----------
    build
        (n_qubits, depth) -> circuit; its features, if any, are drawn at random too.
    widths, depths
        Sizes to try.
    observable
        The cost.
    n_samples
        Draws of all angles, uniform in +-pi.
    seed
        Of the draws.

    Returns
    -------
    One row a size: n_qubits, depth, n_params, variance (mean over live parameters), dead (their share).

    Raises
    ------
    InputError
        For a circuit without parameters.

    References
    ----------
    McClean et al., Barren plateaus in quantum neural network training landscapes, Nature Communications 9:4812 (2018).
    """
    rng, rows = np.random.default_rng(seed), []
    for width, depth in itertools.product(widths, depths):
        circuit = build(width, depth)
        if not circuit.n_params:
            raise InputError(f"the circuit of {width} qubits and depth {depth} has no parameters")
        dead = set(dead_parameters(circuit, observable))
        live = [k for k in range(circuit.n_params) if k not in dead]
        gradients = np.empty((n_samples, len(live)))
        for k in range(n_samples):
            params = torch.as_tensor(rng.uniform(-np.pi, np.pi, circuit.n_params), dtype=torch.float64)
            features = torch.as_tensor(rng.uniform(-np.pi, np.pi, (1, circuit.n_features)), dtype=torch.float64)
            params.requires_grad_()
            (gradient,) = torch.autograd.grad(circuit.expval(observable, params, features).sum(), params)
            gradients[k] = gradient.numpy()[live]
        variance = float(gradients.var(0).mean()) if live else 0.0
        rows.append((width, depth, circuit.n_params, variance, len(dead) / circuit.n_params))
    return pd.DataFrame(rows, columns=["n_qubits", "depth", "n_params", "variance", "dead"])


def _random_states(circuit: Circuit, count: int, rng: np.random.Generator, features: Any) -> torch.Tensor:
    """Return states at random parameters, (count, 2**n); features are random where they are not given."""
    states = []
    for _ in range(count):
        params = rng.uniform(-np.pi, np.pi, circuit.n_params)
        x = rng.uniform(-np.pi, np.pi, (1, circuit.n_features)) if features is None else np.atleast_2d(features)
        states.append(circuit.state(params if len(params) else None, x.astype(float)))
    return torch.cat(states).to(torch.complex128)


def expressibility(
    circuit: Circuit,
    *,
    n_pairs: int = 1000,
    n_bins: int = 75,
    features: Any = None,
    seed: int | np.random.Generator | None = None,
) -> float:
    """Return KL(fidelities of random pairs of states || fidelities of Haar-random pairs) in nats: 0 is Haar-random.

    Parameters
    ----------
    circuit
        With parameters or features, drawn uniformly in +-pi.
    n_pairs, n_bins
        Of the histogram.
    features
        (n_features,) fixed features; None draws them.
    seed
        Of the draws.

    References
    ----------
    Sim, Johnson and Aspuru-Guzik, Advanced Quantum Technologies 2:1900070 (2019).
    """
    rng = np.random.default_rng(seed)
    a, b = _random_states(circuit, n_pairs, rng, features), _random_states(circuit, n_pairs, rng, features)
    fidelity = (a.conj() * b).sum(1).abs().square().clamp(0, 1).numpy()
    counts, edges = np.histogram(fidelity, bins=n_bins, range=(0, 1))
    found = counts / counts.sum()
    haar = -np.diff((1 - edges) ** (2**circuit.n_qubits - 1))  # P(F > f) = (1 - f)**(N - 1)
    seen = found > 0
    # bins where a Haar-random pair never falls underflow to 0: the smallest number keeps the sum finite
    return float((found[seen] * np.log(found[seen] / np.maximum(haar[seen], np.finfo(float).tiny))).sum())


def entangling_capability(
    circuit: Circuit, *, n_samples: int = 200, features: Any = None, seed: int | np.random.Generator | None = None
) -> float:
    """Return the mean Meyer-Wallach entanglement over random angles: 0 for product states, 1 at most.

    Q = 2 (1 - mean over qubits of the purity of one qubit); the same references and draws as `expressibility`.

    Parameters
    ----------
    circuit
        The circuit.
    n_samples
        Draws of all angles.
    features
        `(n_features,)` values of the features; drawn at random by default.
    seed
        Of the draws.
    """
    states = _random_states(circuit, n_samples, np.random.default_rng(seed), features)
    n, purity = circuit.n_qubits, torch.zeros(len(states), dtype=torch.float64)
    for qubit in range(n):
        split = states.reshape(len(states), 2**qubit, 2, -1).transpose(1, 2).reshape(len(states), 2, -1)
        density = split @ split.conj().transpose(1, 2)
        purity += density.abs().square().sum((1, 2)) / n
    return float((2 * (1 - purity)).mean().clamp(0, 1))


def fourier_spectrum(
    circuit: Circuit,
    observable: str,
    feature: int = 0,
    params: Any = None,
    features: Any = None,
    *,
    max_frequency: int | None = None,
) -> pd.DataFrame:
    """Return the Fourier coefficients of an expectation value as a function of one feature.

    Parameters
    ----------
    circuit, observable, params
        As in `Circuit.expval`.
    feature
        The column that runs over one period.
    features
        (n_features,) values of the other columns; zeros by default.
    max_frequency
        Highest frequency that the samples resolve; by default the largest that the circuit can have, the sum of
        ``|scale|`` over the gates that take the feature (which must then be integers or halves).

    Returns
    -------
    frequency (per radian), coefficient (complex; negative frequencies are their conjugates), amplitude.

    Raises
    ------
    InputError
        For a feature that the circuit lacks, or that enters with a scale that has no period.

    References
    ----------
    Schuld, Sweke and Meyer, Physical Review A 103:032430 (2021).
    """
    if not 0 <= feature < circuit.n_features:
        raise InputError(f"feature {feature} is not in 0..{circuit.n_features - 1}")
    rotations, _ = lower(circuit)
    scales = [abs(r.angle.scale) for r in rotations if r.angle.source == "feature" and r.angle.index == feature]
    unit = 1.0 if all(float(s).is_integer() for s in scales) else 0.5
    if not all(float(s / unit).is_integer() for s in scales):
        raise InputError(
            f"feature {feature} enters with scales {sorted(set(scales))}: only multiples of 1/2 are periodic"
        )
    top = round(sum(scales) / unit) if max_frequency is None else round(max_frequency / unit)
    count = 2 * top + 1
    # the reader checks the counts; a missing row of features is zeros
    base = np.zeros(circuit.n_features) if features is None else np.asarray(features, dtype=float)
    p, x = inputs.read(circuit.n_params, circuit.n_features, params, base, circuit.initial_params)
    grid = x.double().repeat(count, 1)
    grid[:, feature] = torch.arange(count, dtype=torch.float64) * (2 * np.pi / (count * unit))
    with torch.no_grad():
        values = circuit.expval(observable, p.double(), grid)[:, 0].numpy()
    coefficients = np.fft.fft(values)[: top + 1] / count
    return pd.DataFrame(
        {"frequency": np.arange(top + 1) * unit, "coefficient": coefficients, "amplitude": np.abs(coefficients)}
    )
