"""Training a network on pairs: mean squared error of the normalised response, best epoch by validation."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from qbmvae.drug_response.cell_network import DenseCellEncoder
from qbmvae.drug_response.data import DrugData, pair_batch, shuffled_rows
from qbmvae.drug_response.graph_network import MoleculeSet
from qbmvae.drug_response.network import HybridNetwork
from samplers.errors import InputError, nearest

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
# pairs that a training visits by default, over all epochs
DEFAULT_VISITS = 250_000


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Parameters
    ----------
    epochs
        Passes over the training pairs; None for `default_epochs`.
    batch_size
        Pairs a step.
    learning_rate
        Of the optimiser (1.8e-3 is the paper's).
    optimiser
        "adam", "adamw", "rmsprop" or "sgd".
    patience
        Stop after this many epochs without a better validation error; None never stops early.
    pairs_per_line
        Shuffle in runs of up to this many pairs of one cell line, which costs randomness and saves encodings.
    seed
        Of the order of pairs and of dropout.
    """

    epochs: int | None = None
    batch_size: int = 64
    learning_rate: float = 1.8e-3
    optimiser: str = "adam"
    patience: int | None = None
    pairs_per_line: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.optimiser not in OPTIMISERS:
            raise InputError(f"optimiser {self.optimiser!r} is not known{nearest(self.optimiser, OPTIMISERS)}")
        if not (np.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError(f"learning rate must be > 0, not {self.learning_rate:g}")
        for name in ("epochs", "batch_size", "patience", "pairs_per_line"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name.replace('_', ' ')} must be 1 or more, not {value}")


@dataclass
class TrainingState:
    """Everything that a stopped training needs to go on bit for bit."""

    network: HybridNetwork
    optimiser: torch.optim.Optimizer
    order: np.random.Generator
    noise: torch.Tensor
    epoch: int = 0
    best_epoch: int = 0
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    history: dict[str, list[float]] = field(default_factory=dict)


def default_epochs(n_train: int) -> int:
    """Return the default number of epochs: 250,000 visits to pairs, between 3 and 50 epochs."""
    return int(np.clip(round(DEFAULT_VISITS / max(n_train, 1)), 3, 50))


def start(network: HybridNetwork, options: TrainingOptions) -> TrainingState:
    """Return the state before the first epoch."""
    optimiser = OPTIMISERS[options.optimiser](
        [p for p in network.parameters() if p.requires_grad], lr=options.learning_rate
    )
    noise = torch.Generator().manual_seed(options.seed).get_state()
    return TrainingState(network, optimiser, np.random.default_rng(options.seed), noise)


def train(
    state: TrainingState,
    data: DrugData,
    rows: np.ndarray,
    watched: Mapping[str, np.ndarray],
    options: TrainingOptions,
    *,
    after_epoch: Callable[[TrainingState], None] = lambda state: None,
) -> TrainingState:
    """Train to the last epoch, or until the validation error has not improved for `patience` epochs.

    Parameters
    ----------
    state
        From `start`, or read from a checkpoint.
    data
        The data set.
    rows
        Training pairs.
    watched
        Named sets of pairs whose error is kept for every epoch; must hold "validation". Nothing but "validation"
        chooses anything.
    options
        How to train.
    after_epoch
        Called with the state after each epoch (progress, checkpoints).

    Returns
    -------
    The same state, its network holding the last weights and `best` those of the best validation error.
    """
    epochs = options.epochs or default_epochs(len(rows))
    response = torch.from_numpy(data.response).float()
    if state.epoch == 0 and isinstance(state.network.cell_encoder, DenseCellEncoder):
        state.network.cell_encoder.standardise(torch.from_numpy(data.features[np.unique(data.line[rows])]))
    while state.epoch < epochs and not stale(state, options.patience):
        loss = _epoch(state, data, rows, response, options)
        state.epoch += 1
        errors = {"train": loss}
        for name, pairs in watched.items():
            predicted = predict(state.network, data.molecules, data.features, data.drug[pairs], data.line[pairs])
            errors[name] = float(np.mean((predicted - data.response[pairs]) ** 2))
        better = errors["validation"] < min(state.history.get("mse_validation", []), default=np.inf)
        for name, value in errors.items():
            state.history.setdefault(f"mse_{name}", []).append(value)
        if better:
            state.best_epoch = state.epoch
            state.best = copy.deepcopy(state.network.state_dict())
        after_epoch(state)
    return state


def stale(state: TrainingState, patience: int | None) -> bool:
    """Whether the validation error has not improved for `patience` epochs."""
    return patience is not None and state.epoch - state.best_epoch >= patience


@torch.no_grad()
def predict(
    network: HybridNetwork,
    molecules: MoleculeSet,
    features: np.ndarray,
    drug: np.ndarray,
    line: np.ndarray,
    *,
    chunk: int = 1024,
) -> np.ndarray:
    """Return the normalised response of pairs, `(n_pairs,)` float64; each distinct drug and line is encoded once."""
    network.eval()
    drugs, drug_positions = np.unique(drug, return_inverse=True)
    lines, line_positions = np.unique(line, return_inverse=True)
    drug_codes = torch.cat(
        [network.drug_encoder(molecules.batch(part)) for part in np.split(drugs, range(256, len(drugs), 256))]
    )
    line_codes = torch.cat(
        [
            network.cell_encoder(torch.from_numpy(features[part]))
            for part in np.split(lines, range(256, len(lines), 256))
        ]
    )
    out = np.empty(len(drug))
    for start_row in range(0, len(drug), chunk):
        part = slice(start_row, start_row + chunk)
        codes = torch.cat([drug_codes[drug_positions[part]], line_codes[line_positions[part]]], dim=1)
        out[part] = network.head(codes).squeeze(1).numpy()
    return out


def _epoch(
    state: TrainingState, data: DrugData, rows: np.ndarray, response: torch.Tensor, options: TrainingOptions
) -> float:
    state.network.train()
    total = 0.0
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(state.noise)
        for batch_rows in shuffled_rows(data, rows, options.batch_size, options.pairs_per_line, state.order):
            batch = pair_batch(data.molecules, data.features, data.drug[batch_rows], data.line[batch_rows])
            loss = torch.nn.functional.mse_loss(state.network(batch), response[torch.from_numpy(batch_rows)])
            state.optimiser.zero_grad()
            loss.backward()
            state.optimiser.step()
            value = loss.item()
            if not np.isfinite(value):
                raise InputError(
                    f"the loss is {value} in epoch {state.epoch + 1}: lower the learning rate ({options.learning_rate:g})"
                )
            total += value * len(batch_rows)
        state.noise = torch.get_rng_state()
    return total / len(rows)
