"""Heads: how 256 features of a drug and a cell line become one response; the quantum circuit and its controls.

Parameters
----------
n_qubits
    Size of the register.
n_layers
    Variational layers of each block.
axis
    Of the variational rotations, "x" or "y".
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable

import torch
from torch import nn

from samplers.errors import InputError, nearest

N_INPUTS = 256


def quantum(n_qubits: int = 8, n_layers: int = 5, axis: str = "x") -> nn.Module:
    """The depth-infused circuit of Sagingalieva et al. (2023): 1,320 angles, a factor and a shift."""
    return _circuit(n_qubits, n_layers, axis, entangle=True)


def frozen(n_qubits: int = 8, n_layers: int = 5, axis: str = "x") -> nn.Module:
    """The same circuit with its random initial angles kept: only factor and shift learn, and what stands before it."""
    layer = _circuit(n_qubits, n_layers, axis, entangle=True)
    layer.angles.requires_grad_(False)
    return layer


def no_entanglement(n_qubits: int = 8, n_layers: int = 5, axis: str = "x") -> nn.Module:
    """The same circuit without its CNOT rings: a product of one-qubit functions, read as the same parity."""
    return _circuit(n_qubits, n_layers, axis, entangle=False)


def twin() -> nn.Module:
    """The paper's classical twin: dense layers of 8 and 1 without biases, 2,056 weights."""
    return nn.Sequential(nn.Linear(N_INPUTS, 8, bias=False), nn.ReLU(), nn.Linear(8, 1, bias=False))


def mlp() -> nn.Module:
    """A perceptron with the circuit's number of parameters: dense layers of 5 and 1 with biases, 1,291 weights."""
    return nn.Sequential(nn.Linear(N_INPUTS, 5), nn.Tanh(), nn.Linear(5, 1))


class ResponseUnit(nn.Module):
    """A Boltzmann machine of the features, hidden units and one response unit: the chance that the response is on.

    The hidden units are summed out: log odds = b + sum_j softplus(c_j + u_j + w_j.x) - softplus(c_j + w_j.x)
    (Larochelle and Bengio, ICML 2008). Five hidden units have 1,291 weights, as the perceptron.

    Parameters
    ----------
    n_hidden
        Hidden units.
    """

    def __init__(self, n_hidden: int = 5):
        super().__init__()
        self.hidden = nn.Linear(N_INPUTS, n_hidden)
        self.response = nn.Linear(n_hidden, 1)
        # weak ties to the response would pass next to no gradient to the features; the odds begin near 1
        nn.init.uniform_(self.response.weight, -3, 3)
        with torch.no_grad():
            self.response.bias.copy_((math.log(2) - nn.functional.softplus(self.response.weight)).sum(1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return `(batch, 1)` for `(batch, 256)`."""
        rest, u, b = self.hidden(features), self.response.weight, self.response.bias
        odds = (nn.functional.softplus(rest + u) - nn.functional.softplus(rest)).sum(1, keepdim=True)
        return torch.sigmoid(b + odds)


class Fourier(nn.Module):
    """A trigonometric series with frequencies of the circuit's spectrum: linear in 1,320 cosines and sines.

    Each feature enters the circuit once, by a rotation about Z, so that its output is a trigonometric polynomial with
    frequencies in {-1, 0, 1}^256 (Schuld, Sweke and Meyer, 2021). This head holds the 256 frequencies of one feature
    and `n_mixed` random ones of two to four, with free coefficients.

    Parameters
    ----------
    n_mixed
        Number of mixed frequencies: 404 make 1,320 coefficients.
    """

    frequencies: torch.Tensor

    def __init__(self, n_mixed: int = 404):
        super().__init__()
        mixed = torch.zeros(n_mixed, N_INPUTS)
        for row in mixed:
            chosen = torch.randperm(N_INPUTS)[: int(torch.randint(2, 5, ()))]
            row[chosen] = torch.randint(0, 2, (len(chosen),)).float() * 2 - 1
        self.register_buffer("frequencies", torch.cat([torch.eye(N_INPUTS), mixed]))
        self.coefficients = nn.Linear(2 * len(self.frequencies), 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return `(batch, 1)` for `(batch, 256)`."""
        phase = features @ self.frequencies.T
        return self.coefficients(torch.cat([phase.cos(), phase.sin()], dim=1))


HEADS: dict[str, Callable[..., nn.Module]] = {
    "quantum": quantum,
    "twin": twin,
    "fourier": Fourier,
    "mlp": mlp,
    "boltzmann": ResponseUnit,
    "frozen": frozen,
    "no-entanglement": no_entanglement,
}
CIRCUIT_HEADS = ("quantum", "frozen", "no-entanglement")


def make_head(name: str, *, n_qubits: int = 8, n_layers: int = 5, axis: str = "x") -> nn.Module:
    """Return a head by name, `(batch, 256)` to `(batch, 1)`.

    Parameters
    ----------
    name
        A key of `HEADS`.
    n_qubits, n_layers, axis
        Of the circuit heads; 256 must be a multiple of `n_qubits`.

    Raises
    ------
    InputError
        For an unknown name, or a circuit that cannot be made.
    """
    if name not in HEADS:
        raise InputError(f"head {name!r} is not known{nearest(name, HEADS)}")
    if name in CIRCUIT_HEADS:
        check_memory(n_qubits, 1, machine_memory())
        return HEADS[name](n_qubits=n_qubits, n_layers=n_layers, axis=axis)
    return HEADS[name]()


def check_memory(n_qubits: int, batch_size: int, available: int) -> None:
    """Raise where the statevectors of a batch would not fit: state, gradient and one copy in complex64.

    Parameters
    ----------
    n_qubits
        Size of the register.
    batch_size
        Pairs a step.
    available
        Bytes.

    Raises
    ------
    InputError
        Where they do not fit.
    """
    # 2^256 bytes overflow nothing in Python, so the message can always say what it would take
    needed = 3 * 8 * batch_size * 2**n_qubits
    if needed > available:
        raise InputError(
            f"{n_qubits} qubits at batch size {batch_size} take {_gigabytes(needed)} of memory, this machine has "
            f"{_gigabytes(available)}: use fewer qubits or a smaller batch"
        )


def machine_memory() -> int:
    """Return the bytes of memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _gigabytes(n_bytes: int) -> str:
    size = n_bytes / 1e9
    return f"{size:,.1f} GB" if size < 1e6 else f"{size:.3g} GB"


def _circuit(n_qubits: int, n_layers: int, axis: str, *, entangle: bool) -> nn.Module:
    from qbmvae.circuits import DepthInfusedLayer

    return DepthInfusedLayer(
        n_features=N_INPUTS,
        n_qubits=n_qubits,
        n_first=n_layers,
        n_between=n_layers,
        axis=axis,  # type: ignore[arg-type]
        entangle=entangle,
    )
