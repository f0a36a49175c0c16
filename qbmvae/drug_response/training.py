"""Training a network on pairs: mean squared error of the normalised response, best epoch by validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qbmvae.core.training.loop import Loop
from qbmvae.drug_response.cell_network import DenseCellEncoder
from qbmvae.drug_response.data import DrugData, pair_batch, shuffled_rows
from qbmvae.drug_response.graph_network import MoleculeSet
from qbmvae.drug_response.network import HybridNetwork
from samplers.checks import integer, one_of, positive
from samplers.errors import InputError

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
BASELINES = ("none", "means")
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
    baseline
        "means": the network learns what an effect of each molecule plus one of each line leave unexplained, and the share of
        its answer that suits the validation pairs is added to them; "none": it learns the response, as the paper's does.
    seed
        Of the order of pairs and of dropout.
    """

    epochs: int | None = None
    batch_size: int = 64
    learning_rate: float = 1.8e-3
    optimiser: str = "adam"
    patience: int | None = None
    pairs_per_line: int = 1
    baseline: str = "none"
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("baseline", self.baseline, BASELINES)
        one_of("optimiser", self.optimiser, OPTIMISERS)
        positive("learning_rate", self.learning_rate)
        for name in ("epochs", "batch_size", "patience", "pairs_per_line"):
            if (value := getattr(self, name)) is not None:
                integer(name, value)


def default_epochs(n_train: int) -> int:
    """Return the default number of epochs: 250,000 visits to pairs, between 3 and 50 epochs."""
    return int(np.clip(round(DEFAULT_VISITS / max(n_train, 1)), 3, 50))


def train(
    network: HybridNetwork,
    data: DrugData,
    rows: np.ndarray,
    watched: Mapping[str, np.ndarray],
    options: TrainingOptions,
    *,
    expected: np.ndarray | None = None,
    checkpoint: str | Path | None = None,
    identity: Mapping[str, Any] | None = None,
    after_epoch: Callable[[Loop], None] = lambda loop: None,
) -> Loop:
    """Train to the last epoch, or until the validation error has not improved for `patience` epochs.

    Parameters
    ----------
    network
        Trained in place: it holds the last weights afterwards; `restore_best` of the result gives it the best.
    data
        The data set.
    rows
        Training pairs.
    watched
        Named sets of pairs whose error is kept for every epoch; must hold "validation". Nothing but "validation"
        chooses anything.
    options
        How to train.
    expected
        Of every pair of the data, `(n_pairs,)`: the network learns the response less this, and this is added to what it
        predicts; 0 by default.
    checkpoint
        A file written after each epoch; where it exists, training goes on from it, bit for bit.
    identity
        What must be the same to go on, see `Loop`.
    after_epoch
        Called after each epoch, with its count `epoch` and the `history` of "mse_train", "mse_validation", ...

    Returns
    -------
    The loop, at its end.

    Raises
    ------
    InputError
        The loss is not finite, or the checkpoint is damaged or of another training.
    """
    expected = np.zeros(len(data)) if expected is None else expected
    wanted = data.response - expected
    response = torch.from_numpy(wanted).float()
    own = [p for p in network.parameters() if p.requires_grad]
    optimiser = OPTIMISERS[options.optimiser](own, lr=options.learning_rate)
    order, noise = np.random.default_rng(options.seed), torch.Generator().manual_seed(options.seed)
    loop = Loop(
        network,
        options.epochs or default_epochs(len(rows)),
        patience=options.patience,
        parts={"optimiser": optimiser, "order": order, "noise": noise},
        identity=identity,
        checkpoint=checkpoint,
    )
    if not loop.resume() and isinstance(network.cell_encoder, DenseCellEncoder):
        network.cell_encoder.standardise(torch.from_numpy(data.features[np.unique(data.line[rows])]))

    def descend(batch_rows: np.ndarray) -> float:
        batch = pair_batch(data.molecules, data.features, data.drug[batch_rows], data.line[batch_rows])
        loss = torch.nn.functional.mse_loss(network(batch), response[torch.from_numpy(batch_rows)])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if not np.isfinite(value := loss.item()):
            raise InputError(
                f"the loss is {value} in epoch {loop.epoch + 1}: lower the learning rate ({options.learning_rate:g})"
            )
        return value * len(batch_rows)

    while loop.running:
        network.train()
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(noise.get_state())
            batches = shuffled_rows(data, rows, options.batch_size, options.pairs_per_line, order)
            errors = {"train": sum(map(descend, batches)) / len(rows)}
            noise.set_state(torch.get_rng_state())
        for name, pairs in watched.items():
            predicted = predict(network, data.molecules, data.features, data.drug[pairs], data.line[pairs])
            errors[name] = float(np.mean((predicted - wanted[pairs]) ** 2))
        loop.record({f"mse_{name}": value for name, value in errors.items()})
        loop.judge(errors["validation"])
        loop.advance()
        after_epoch(loop)
    return loop


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
    """Return the normalised response of pairs, `(n_pairs,)` float64; each distinct drug and line is encoded once.

    Parameters
    ----------
    network
        The network; set to evaluation.
    molecules
        All molecules.
    features
        Of all cell lines, `(n_lines, n_features)`.
    drug, line
        Positions of each pair, `(n_pairs,)`.
    chunk
        Pairs that go through the head at once.
    """
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
