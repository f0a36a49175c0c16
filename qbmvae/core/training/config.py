"""How to train: every setting of the loop, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from samplers.checks import integer, non_negative, one_of, share
from samplers.errors import InputError

#: Arithmetic of matrix products, to torch's name for it.
PRECISIONS = {"32": "highest", "bf16": "medium"}

#: Settings of version 0.1 that have another name now.
RENAMED = {"patience": "early_stopping_patience", "min_delta": "early_stopping_min_delta"}


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes
    ----------
    max_epochs
        Passes over the training cells.
    batch_size
        Cells a step.
    learning_rate, prior_learning_rate, weight_decay
        Settings of Adam, for the network and for the prior (which takes no weight decay).
    learning_rate_decay
        Share of the steps, at the end, over which both rates fall linearly to 0.
    kl_weight
        Weight of the KL once warmed up: larger ones (2) give tighter clusters, smaller ones connected trajectories.
    kl_warmup
        Share of all steps over which the weight of the KL rises from 0.
    batch_matching
        Weight of the penalty on differences between the batches' mean bit probabilities.
    cycle_consistency
        Weight of the penalty on codes that change when decoded with another batch.
    label_weight
        Weight of a classifier's loss on labelled cells, which trains the encoder with it: tighter types, of models with
        label units. 0: labels do not reach the encoder.
    num_chains
        Reads of the negative phase a step.
    gradient_clip
        Largest norm of the network's gradient; None for no limit.
    early_stopping
        Stop when the held-out ELBO no longer improves, and keep the best weights.
    keep_best
        End with the weights of the best held-out ELBO, as early stopping does. False by default: the embedding often
        gains from epochs in which the likelihood already overfits, see docs/training.md.
    early_stopping_patience, early_stopping_min_delta
        Validations without an improvement of this many nats before it stops.
    check_val_every_n_epoch
        Epochs between validations.
    seed
        Of everything random: initial weights of a fresh model, split, order, noise, chains.
    checkpoint_every
        Steps between further checkpoints, where there is a folder for them; 0 for the end of each epoch only.
    refine_prior
        Whether to end with a fit of the prior alone to the cells' codes, see `QBMVAE.refine_prior`. By default where that
        takes seconds: the sampler is local and keeps its chains, or none is needed.
    precision
        Precision of matrix products: "32", or "bf16" (inputs rounded to bfloat16, sums in float32) where the processor has it.
    fused
        "auto": steps without the autograd engine, where the model allows it; "off": all through autograd. The two differ
        by rounding and by speed.
    """

    max_epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-3
    prior_learning_rate: float = 1e-3
    weight_decay: float = 0.0
    learning_rate_decay: float = 0.0
    kl_weight: float = 0.25
    kl_warmup: float = 0.25
    batch_matching: float = 2.0
    cycle_consistency: float = 0.0
    label_weight: float = 0.0
    num_chains: int = 512
    gradient_clip: float | None = None
    early_stopping: bool = False
    keep_best: bool = False
    early_stopping_patience: int = 45
    early_stopping_min_delta: float = 0.0
    check_val_every_n_epoch: int = 1
    seed: int = 0
    checkpoint_every: int = 0
    refine_prior: bool | None = None
    precision: Literal["32", "bf16"] = "32"
    fused: Literal["auto", "off"] = "auto"

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> TrainingConfig:
        """Return the configuration that a checkpoint holds, this version's or an older one's.

        Raises
        ------
        InputError
            For settings that this version does not know.
        """
        found = {RENAMED.get(name, name): value for name, value in saved.items()}
        if unknown := sorted(found.keys() - {field.name for field in fields(cls)}):
            raise InputError(f"the checkpoint was written by another version: it sets {', '.join(unknown)}")
        return cls(**found)

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "num_chains", "check_val_every_n_epoch", "early_stopping_patience"):
            integer(name, getattr(self, name))
        for name in (
            "learning_rate",
            "prior_learning_rate",
            "kl_weight",
            "batch_matching",
            "cycle_consistency",
            "label_weight",
        ):
            non_negative(name, getattr(self, name))
        for name in ("kl_warmup", "learning_rate_decay"):
            share(name, getattr(self, name))
        one_of("fused", self.fused, ("auto", "off"))
        one_of("precision", self.precision, PRECISIONS)
