"""Learn a gene circuit from bits: the parameters of qscGRN (Roman-Vicharra and Cai 2023) by exact gradients.

Activations (RY angles) start at how often each gene is on; a CRY angle for every ordered pair of genes, gene after
gene, is fitted so that the circuit's outcome distribution meets the observed one. The circuit has real amplitudes: the
state of n genes is 2**n numbers, and its gradient is automatic differentiation, not a difference of shots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from qbmvae.cellsim.circuit import GeneCircuit
from samplers.errors import InputError

if TYPE_CHECKING:
    import torch

#: Largest circuit that is learned: its state is listed at every step.
MAX_GENES = 14


@dataclass(frozen=True)
class LearnedCircuit:
    """What `learn_circuit` found.

    Attributes
    ----------
    angles
        CRY angles, regulator by target, radians; positive turns a target on.
    activations
        theta / pi of each gene's RY.
    loss
        KL divergence of observed from modelled outcomes at each step, nats.
    """

    angles: pd.DataFrame
    activations: pd.Series
    loss: np.ndarray

    def edges(self, threshold: float = 0.0) -> pd.DataFrame:
        """Return regulators, targets and angles, the largest first, without those of |angle| up to the threshold."""
        table = self.angles.rename_axis("control").reset_index().melt("control", var_name="target", value_name="angle")
        table = table[(table["control"] != table["target"]) & (table["angle"].abs() > threshold)]
        return table.sort_values("angle", key=lambda a: -a.abs(), ignore_index=True)

    def circuit(self) -> GeneCircuit:
        """Return the circuit learned, to sample from."""
        genes = list(self.angles.columns)
        edges = []
        for control in genes:
            for target in genes:
                angle = float(self.angles.loc[control, target])
                if control != target and angle:
                    edges.append((control, target, "cry", abs(angle) / math.pi, 1 if angle > 0 else -1))
        return GeneCircuit(self.activations.to_numpy(), edges, genes)


def learn_circuit(
    bits: np.ndarray | pd.DataFrame,
    genes: Sequence[str] | None = None,
    *,
    n_steps: int = 300,
    learning_rate: float = 0.05,
    penalty: float = 1e-2,
    train_activations: bool = True,
) -> LearnedCircuit:
    """Return the CRY angles between genes whose circuit reproduces observed on/off patterns.

    Parameters
    ----------
    bits
        `(n_cells, n_genes)`, 0 or 1; at most 14 genes.
    genes
        Names; the columns of a DataFrame, or g0, g1, ...
    n_steps, learning_rate
        Of Adam.
    penalty
        Weight of the sum of |angle|: of several circuits with the same outcomes the sparser is preferred.
    train_activations
        Fit the RY angles too. False keeps P(on) before regulation at the observed frequency, as qscGRN does: regulation
        then comes on top of it and the outcomes cannot be met exactly.

    Raises
    ------
    InputError
        For what is not bits of 2 to 14 genes.

    Notes
    -----
    Patterns of one moment do not tell a regulator from its target: expect a true edge to be shared by both directions.
    """
    import torch

    values = np.asarray(bits)
    if genes is None:
        genes = list(bits.columns) if isinstance(bits, pd.DataFrame) else [f"g{i}" for i in range(values.shape[-1])]
    names = [str(g) for g in genes]
    if values.ndim != 2 or values.shape[1] != len(names) or not len(values):
        raise InputError(f"bits have shape {values.shape} and there are {len(names)} genes: give (n_cells, n_genes)")
    if not np.isin(values, (0, 1)).all():
        cell, gene = np.argwhere(~np.isin(values, (0, 1)))[0]
        raise InputError(f"bits[{cell}, {gene}] (gene {names[gene]}) is {values[cell, gene]}: bits are 0 or 1")
    n = len(names)
    if not 2 <= n <= MAX_GENES:
        raise InputError(f"{n} genes: between 2 and {MAX_GENES} can be learned (the state has 2^n amplitudes)")
    outcome = (values.astype(np.int64) << np.arange(n - 1, -1, -1)).sum(axis=1)
    observed = torch.tensor(np.bincount(outcome, minlength=2**n) / len(values), dtype=torch.float64)
    start = 2 * np.arcsin(np.sqrt(np.clip(values.mean(axis=0), 0.0, 1.0)))
    theta = torch.tensor(start, dtype=torch.float64, requires_grad=train_activations)
    # not zero: |angle| has no gradient there
    phi = torch.full((n, n), 1e-2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([phi, theta] if train_activations else [phi], lr=learning_rate)
    seen = observed > 0
    entropy = (observed[seen] * observed[seen].log()).sum()
    losses = []
    for _ in range(n_steps):
        optimiser.zero_grad()
        modelled = _outcomes(theta, phi)
        divergence = entropy - (observed[seen] * modelled[seen].clamp_min(1e-12).log()).sum()
        (divergence + penalty * phi.abs().sum()).backward()
        optimiser.step()
        losses.append(float(divergence.detach()))
    angles = phi.detach().numpy() * (1 - np.eye(n))
    activations = np.clip(theta.detach().numpy() / math.pi, 0.0, 1.0)
    return LearnedCircuit(
        pd.DataFrame(angles, index=names, columns=names), pd.Series(activations, index=names), np.array(losses)
    )


def _outcomes(theta: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
    """Return outcome probabilities, `(2**n,)`, of RY(theta) and then CRY(phi[k, j]) for k, then j, in order."""
    import torch

    n = len(theta)
    state = torch.ones(1, dtype=torch.float64)
    for g in range(n):
        state = torch.outer(state, torch.stack([torch.cos(theta[g] / 2), torch.sin(theta[g] / 2)])).reshape(-1)
    for k in range(n):
        # the control's bit first, then the others in order
        parts = state.reshape(2**k, 2, 2 ** (n - 1 - k)).permute(1, 0, 2).reshape(2, -1)
        on = parts[1]
        for place, j in enumerate(j for j in range(n) if j != k):
            pair = on.reshape(2**place, 2, -1)
            c, s = torch.cos(phi[k, j] / 2), torch.sin(phi[k, j] / 2)
            on = torch.stack([c * pair[:, 0] - s * pair[:, 1], s * pair[:, 0] + c * pair[:, 1]], dim=1).reshape(-1)
        state = torch.stack([parts[0], on]).reshape(2, 2**k, -1).permute(1, 0, 2).reshape(-1)
    return state**2
