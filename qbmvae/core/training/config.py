"""How to train: every setting of the loop, checked."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

from samplers.errors import InputError

#: Arithmetic of matrix products, to torch's name for it.
PRECISIONS = {"32": "highest", "bf16": "medium"}


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Attributes
    ----------
    max_epochs, batch_size
        Epochs, and cells a step.
    learning_rate, prior_learning_rate, weight_decay
        Adam's, for the network and for the prior (which takes no weight decay).
    learning_rate_decay
        Share of the steps, at the end, over which both rates fall linearly to 0.
    kl_weight
        Weight of the KL once warmed up.
    kl_warmup
        Share of all steps over which the weight rises from 0.
    batch_matching, cycle_consistency
        Weights of the optional penalties, see `VAE.losses`.
    num_chains
        Reads of the negative phase a step.
    gradient_clip
        Largest norm of the network's gradient; None for no limit.
    early_stopping
        Stop when the held-out negative ELBO has not improved for `patience` validations, and keep the best weights.
    patience, min_delta
        Of early stopping; nats.
    check_val_every_n_epoch
        Epochs between validations.
    seed
        Of everything that is random.
    checkpoint_every
        Steps between checkpoints, where there is a folder for them; 0 for the end of each epoch only.
    refine_prior
        Whether the prior alone is fitted to the cells' codes when training ends, see `refine`; None leaves it to the
        sampler: yes for a local one that keeps its chains, or where none is needed.
    precision
        Of matrix products: "32", or "bf16" (inputs rounded to bfloat16, sums in float32) where the processor has it.
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
    num_chains: int = 512
    gradient_clip: float | None = None
    early_stopping: bool = False
    patience: int = 45
    min_delta: float = 0.0
    check_val_every_n_epoch: int = 1
    seed: int = 0
    checkpoint_every: int = 0
    refine_prior: bool | None = None
    precision: str = "32"

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "num_chains", "check_val_every_n_epoch", "patience"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral):
                raise InputError(f"{name} must be a whole number, not {value!r}")
            if value < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("learning_rate", "prior_learning_rate", "kl_weight", "batch_matching", "cycle_consistency"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must be >= 0, not {getattr(self, name)}")
        for name in ("kl_warmup", "learning_rate_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is a share of the steps, in [0, 1], not {getattr(self, name)}")
        if self.precision not in PRECISIONS:
            raise InputError(f"precision must be one of {', '.join(map(repr, PRECISIONS))}, not {self.precision!r}")
