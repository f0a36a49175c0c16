"""One component in four forms: a distribution over a few bits, given a condition; all states are listed, so it is exact.

A condition moves n_bits fields, angles or logits by a linear map without a constant, the same size in every form; the rest has
about the same number of parameters: n (n + 1) / 2 of the machine, 3 n for each layer of the circuit.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qbmvae.circuits.reuploading import reuploading_circuit


class Form(nn.Module):
    """A distribution over bits; `forward` maps features `(n_conditions, width)` to log p, `(n_conditions, 2**n_bits)`.

    Parameters
    ----------
    mean
        Mean of each bit over the training cells, `(n_bits,)`, at which forms with fields start.
    width
        Of the features.
    """

    states: Tensor

    def __init__(self, mean: Tensor, width: int):
        super().__init__()
        self.n_bits = len(mean)
        shifts = torch.arange(self.n_bits - 1, -1, -1)
        self.register_buffer("states", ((torch.arange(2**self.n_bits)[:, None] >> shifts) & 1).float())
        self.bias = nn.Parameter(torch.logit(mean.clamp(1e-3, 1 - 1e-3)).float())
        self.shift = nn.Linear(width, self.n_bits, bias=False) if width else None
        if self.shift is not None:
            nn.init.zeros_(self.shift.weight)

    def moved(self, features: Tensor) -> Tensor:
        """Return the shift of each bit by the condition, `(n_conditions, n_bits)`."""
        return features.new_zeros(len(features), self.n_bits) if self.shift is None else self.shift(features)


class Nothing(Form):
    """Independent bits with one mean each, whatever the condition."""

    def __init__(self, mean: Tensor, width: int):
        super().__init__(mean, 0)

    def forward(self, features: Tensor) -> Tensor:
        """Return log p of every state under each condition."""
        scores = self.states @ self.bias - nn.functional.softplus(self.bias).sum()
        return scores.expand(len(features), -1)


class Machine(Form):
    """A Boltzmann machine: fields of bits, which the condition moves, and couplings of pairs."""

    def __init__(self, mean: Tensor, width: int):
        super().__init__(mean, width)
        self.pairs = torch.triu_indices(self.n_bits, self.n_bits, 1)
        self.couplings = nn.Parameter(torch.zeros(self.pairs.shape[1]))

    def forward(self, features: Tensor) -> Tensor:
        """Return log p of every state under each condition."""
        joint = (self.states[:, self.pairs[0]] * self.states[:, self.pairs[1]]) @ self.couplings
        return torch.log_softmax((self.bias + self.moved(features)) @ self.states.T + joint, 1)


class Circuit(Form):
    """Outcomes of a data re-uploading circuit (a Born machine); the condition enters as angles at every layer.

    A thousandth of the probability is spread over all states, or an outcome that the circuit never shows would cost without end.
    """

    FLOOR, LAYERS = 1e-3, 2

    def __init__(self, mean: Tensor, width: int):
        super().__init__(mean, width)
        del self.bias
        self.circuit = reuploading_circuit(self.n_bits, self.LAYERS)
        self.angles = nn.Parameter(0.5 * torch.randn(self.circuit.n_params))

    def forward(self, features: Tensor) -> Tensor:
        """Return log p of every state under each condition."""
        p = self.circuit.probabilities(self.angles, self.moved(features))
        return torch.log((1 - self.FLOOR) * p + self.FLOOR / p.shape[1])


class Perceptron(Form):
    """An autoregressive perceptron of two hidden units: bit by bit, from the bits before (Larochelle and Murray, 2011)."""

    HIDDEN = 2

    def __init__(self, mean: Tensor, width: int):
        super().__init__(mean, width)
        self.inward = nn.Parameter(torch.randn(self.n_bits, self.HIDDEN) / math.sqrt(self.n_bits))
        self.offset = nn.Parameter(torch.zeros(self.HIDDEN))
        self.outward = nn.Parameter(torch.zeros(self.n_bits, self.HIDDEN))

    def forward(self, features: Tensor) -> Tensor:
        """Return log p of every state under each condition."""
        before = torch.cumsum(self.states[:, :, None] * self.inward, 1) - self.states[:, :, None] * self.inward
        own = (torch.tanh(self.offset + before) * self.outward).sum(2) + self.bias
        logits = own + self.moved(features)[:, None]
        return (self.states * logits - nn.functional.softplus(logits)).sum(2)


FORMS: dict[str, type[Form]] = {"circuit": Circuit, "machine": Machine, "perceptron": Perceptron, "nothing": Nothing}


@dataclass(frozen=True)
class Fitted:
    """A form after its time, at the step that suits the validation cells best.

    Attributes
    ----------
    form
        The model.
    n_parameters, steps, seconds
        Its size, the steps that its time allowed, and the CPU seconds that they took.
    """

    form: Form
    n_parameters: int
    steps: int
    seconds: float


def histogram(q: Tensor, condition: Tensor, n_conditions: int, states: Tensor) -> Tensor:
    """Return the mean distribution over states of each condition's cells, `(n_conditions, n_states)`; bits are independent in a cell.

    Parameters
    ----------
    q
        Bit probabilities of the cells, `(n_cells, n_bits)`.
    condition, n_conditions
        Condition of each cell, `(n_cells,)`, and how many there are; one without cells has zeros.
    states
        `(n_states, n_bits)`.
    """
    q = q.clamp(1e-6, 1 - 1e-6).double()
    log_p = q.log() @ states.T.double() + (1 - q).log() @ (1 - states).T.double()
    total = torch.zeros(n_conditions, len(states), dtype=torch.double).index_add_(0, condition, log_p.exp())
    return (total / total.sum(1, keepdim=True).clamp(min=1e-12)).float()


def fit_form(
    name: str,
    mean: Tensor,
    features: Tensor,
    train: Tensor,
    validation: Tensor,
    weights: Tensor,
    *,
    seconds: float,
    rate: float = 0.05,
    seed: int = 0,
) -> Fitted:
    """Fit a form by maximum likelihood for a time; all forms of a comparison get the same.

    Parameters
    ----------
    name
        Of `FORMS`.
    mean, features
        As in `Form`; features `(n_conditions, width)`.
    train, validation
        Distributions over states of each condition's cells, see `histogram`.
    weights
        Of the conditions, `(n_conditions,)`, sum 1.
    seconds
        CPU time.
    rate, seed
        Of Adam; of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        form = FORMS[name](mean, features.shape[1])
    optimiser = torch.optim.Adam(form.parameters(), lr=rate)
    # what is compiled or cached at the first calls is not the form's own time
    form(features).sum().backward()
    start, steps, best, kept = time.process_time(), 0, math.inf, form.state_dict()
    while True:
        log_p = form(features)
        held_out = -float((weights @ (validation * log_p.detach())).sum())
        if held_out < best:
            best, kept = held_out, {k: v.clone() for k, v in form.state_dict().items()}
        spent = time.process_time() - start
        if spent >= seconds:
            break
        optimiser.zero_grad()
        (-(weights @ (train * log_p)).sum()).backward()
        optimiser.step()
        steps += 1
    form.load_state_dict(kept)
    return Fitted(form, sum(p.numel() for p in form.parameters()), steps, spent)
