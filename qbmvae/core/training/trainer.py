"""The training loop: one device, seeded, resumable to the bit."""

from __future__ import annotations

import math
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from qbmvae.core.fused.products import arithmetic
from qbmvae.core.priors.base import DiscretePrior
from qbmvae.core.training import checkpoint, held_out
from qbmvae.core.training.adam import Adam, parameter_groups
from qbmvae.core.training.config import PRECISIONS, TrainingConfig
from qbmvae.core.training.distributed import Ranks
from qbmvae.core.training.fused_step.pointers import Held
from qbmvae.core.training.fused_step.step import Step, applies
from qbmvae.core.training.loop import Loop
from qbmvae.core.training.negative_phase import NegativePhase
from qbmvae.core.training.observer import Observer
from qbmvae.core.training.source import Source
from qbmvae.core.training.state import Position, converted
from qbmvae.core.training.supervision import Supervision
from qbmvae.core.vae import VAE, Batch
from samplers.errors import InputError
from samplers.sampler import Sampler


class Trainer:
    """Trains a `VAE`.

    Parameters
    ----------
    vae
        The model; trained in place.
    train
        The training cells.
    validation
        Held-out cells, or None.
    sampler
        Of the prior's negative phase; unused by priors with a closed-form log Z.
    config
        How to train.
    device
        Where.
    checkpoints
        Folder for checkpoints, or None.
    progress
        Whether to show a progress bar (on stderr).
    notes
        Further entries of each checkpoint (the split of the cells).
    ranks
        This process among several; the sources are its shards.
    supervision
        Labels that train the encoder, or None.

    Raises
    ------
    InputError
        Without training cells.
    """

    def __init__(
        self,
        vae: VAE,
        train: Source,
        validation: Source | None,
        sampler: Sampler,
        config: TrainingConfig,
        *,
        device: str | torch.device = "cpu",
        checkpoints: Path | None = None,
        progress: bool = True,
        notes: dict[str, Any] | None = None,
        ranks: Ranks | None = None,
        supervision: Supervision | None = None,
    ):
        if not len(train):
            raise InputError("there are no training cells")
        self.vae = vae.to(device)
        self.train, self.validation = train, validation if validation is not None and len(validation) else None
        self.config, self.device = config, device
        self.ranks = ranks = ranks or Ranks()
        self.progress = progress
        sampled = vae.prior.needs_samples and any(p.requires_grad for p in vae.prior.parameters())
        # chains of different ranks must differ: their moments are averaged
        chains, seed = -(-config.num_chains // ranks.world), config.seed + 7919 * ranks.rank
        self.negative_phase = NegativePhase(sampler, chains, seed) if sampled else None
        if self.negative_phase is not None and progress and ranks.rank == 0:
            self.negative_phase.announce(train.steps(config.batch_size))
        # without the autograd engine, where that is known
        self.supervision = None if supervision is None else supervision.to(device)
        fused = config.fused == "auto" and supervision is None and applies(vae, config.cycle_consistency)
        self.step = Step(vae) if fused else None
        self.held = Held(vae)
        groups = parameter_groups(vae, config)
        groups[0]["params"] += [] if supervision is None else supervision.parameters()
        self.optimiser = Adam(groups)
        for group in self.optimiser.param_groups:
            group["base_lr"] = group["lr"]
        self.observer = Observer()
        self.position = Position()
        parts: dict[str, Any] = {"optimiser": self.optimiser, "negative_phase": self.negative_phase}
        parts |= {"position": self.position, "supervision": supervision}
        self.loop = Loop(
            self.vae,
            config.max_epochs,
            patience=config.early_stopping_patience if config.early_stopping else None,
            min_delta=config.early_stopping_min_delta,
            keep_best=config.early_stopping or config.keep_best,
            parts={name: part for name, part in parts.items() if part is not None},
            notes={"config": asdict(config), **(notes or {})},
            checkpoint=checkpoints / checkpoint.NAME if checkpoints is not None and ranks.rank == 0 else None,
        )

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self.loop.epoch

    @property
    def history(self) -> dict[str, list[tuple[int, float]]]:
        """Name to a list of (epoch, value)."""
        return self.loop.history

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.config.max_epochs * self.train.steps(self.config.batch_size)

    def kl_weight(self, step: int) -> float:
        """Return the KL's weight at a step counted from 0: a linear warm-up over a share of the total."""
        warmup = self.config.kl_warmup * self.total_steps
        return self.config.kl_weight * (min(1.0, (step + 1) / warmup) if warmup >= 1 else 1.0)

    def rate_factor(self, step: int) -> float:
        """Return what the learning rates are multiplied by at a step counted from 0."""
        last = self.config.learning_rate_decay * self.total_steps
        return min(1.0, (self.total_steps - step) / last) if last >= 1 else 1.0

    def fit(
        self, on_epoch: Callable[[Trainer], None] | None = None, observer: Observer | None = None
    ) -> dict[str, list[tuple[int, float]]]:
        """Train to the end, from wherever the state stands, and return the history.

        Parameters
        ----------
        on_epoch
            Called after each epoch.
        observer
            Called at each moment of the training.
        """
        self.observer = observer or Observer()
        with (
            torch.random.fork_rng(devices=[] if torch.device(self.device).type == "cpu" else None),
            arithmetic(PRECISIONS[self.config.precision]),
        ):
            if self.position.torch_rng is None:
                torch.manual_seed(self.config.seed + 7919 * self.ranks.rank)
            else:
                torch.set_rng_state(self.position.torch_rng)
            with tqdm(
                total=self.config.max_epochs,
                initial=self.epoch,
                desc="epochs",
                file=sys.stderr,
                disable=not self.progress or self.ranks.rank > 0,
            ) as bar:
                self.observer.start(self)
                while self.loop.running:
                    self._run_epoch()
                    bar.update()
                    bar.set_postfix(self._summary())
                    if on_epoch:
                        on_epoch(self)
                    self.observer.epoch_end(self)
            self.position.torch_rng = torch.get_rng_state()
        self.loop.restore_best()
        self.vae.eval()
        self.observer.end(self)
        return self.history

    def _check_memory(self) -> None:
        """Give up addresses of parameters whose data were replaced since the last epoch, by `on_epoch` for example."""
        if not (moved := self.held.moved()):
            return
        if self.step is not None:
            shown = ", ".join(moved[:3]) + (", ..." if len(moved) > 3 else "")
            warnings.warn(
                f"the data of {shown} were replaced during training: the rest of it goes through autograd, which is slower; "
                "write into them instead, for example with parameter.data.copy_(...)",
                stacklevel=2,
            )
        self.step, self.held = None, Held(self.vae)
        self.optimiser.forget()

    def _run_epoch(self) -> None:
        self._check_memory()
        self.observer.epoch_start(self)
        self.vae.train()
        config, position = self.config, self.position
        first = self.epoch * self.train.steps(config.batch_size)
        for batch in self.train.epoch(config.batch_size, config.seed, self.epoch, position.step, self.device):
            self._step(batch, first + position.step)
            position.step += 1
            if type(self.observer).step is not Observer.step:
                self._check_memory()
            if config.checkpoint_every and (first + position.step) % config.checkpoint_every == 0:
                self.loop.save()
        self._record_training()
        position.step = 0
        if (self.epoch + 1) % config.check_val_every_n_epoch == 0 or self.epoch + 1 == config.max_epochs:
            self._validate()
        self.loop.advance()

    def _step(self, batch: Batch, step: int) -> None:
        total, terms = self._descend(batch, self.kl_weight(step))
        if not math.isfinite(total):
            rows = "" if batch.rows is None else f" among cells {batch.rows[:5].tolist()}..."
            raise InputError(
                f"the loss became {total} at step {step}{rows}: check these rows for extreme counts, or lower the "
                f"learning rate ({self.config.learning_rate})"
            )
        if self.config.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.optimiser.param_groups[0]["params"], self.config.gradient_clip)
        factor = self.rate_factor(step)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base_lr"] * factor
        self.optimiser.step()
        self.observer.step(self, total, batch, self.position.step)
        n = len(batch)
        for name, value in {"n": n, "loss": total * n, **terms}.items():
            self.position.sums[name] += value

    def _descend(self, batch: Batch, weight: float) -> tuple[float, dict[str, float]]:
        """Compute gradients; return the loss, averaged over ranks, and its terms summed over this rank's cells."""
        prior, config = self.vae.prior, self.config
        if self.step is not None and self.step.takes(batch):
            assert self.negative_phase is not None
            reads = self.negative_phase.reads(self.step.prior)
            total, terms = self.step(batch, reads, weight, config.batch_matching)
            if self.ranks.world > 1:
                total = self.ranks.average_gradients(self.vae.parameters(), torch.tensor(total)).item()
            return total, terms
        log_partition: torch.Tensor | float = 0.0
        if isinstance(prior, DiscretePrior):
            if self.negative_phase is not None:
                log_partition = self.negative_phase.log_partition_surrogate(prior)
            else:
                log_partition = prior.log_partition() or 0.0
        penalties = config.batch_matching, config.cycle_consistency, self.supervision
        losses = self.vae.losses(batch, log_partition, weight, *penalties)
        trained = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        for parameter in trained:
            parameter.grad = None
        losses.total.backward()
        total = self.ranks.average_gradients(trained, losses.total).item()
        terms = {"reconstruction": losses.reconstruction.sum().item(), "kl": losses.kl.sum().item()}
        return total, terms | {name: penalty.item() * len(batch) for name, penalty in losses.penalties.items()}

    def _record_training(self) -> None:
        self.ranks.average_statistics(self.vae)
        sums = self.position.sums
        totals = self.ranks.sum(torch.tensor(list(sums.values()), dtype=torch.float64)).tolist()
        sums = dict(zip(sums, totals, strict=True))
        n = sums["n"]
        self.position.sums = defaultdict(float)
        log_z = self.log_partition()
        values = {
            "train_loss_epoch": sums["loss"] / n,
            "reconstruction_loss_train": sums["reconstruction"] / n,
            "kl_local_train": sums["kl"] / n + log_z,
            "elbo_train": (sums["reconstruction"] + sums["kl"]) / n + log_z,
            "kl_weight": self.kl_weight((self.epoch + 1) * self.train.steps(self.config.batch_size) - 1),
            "log_partition": log_z,
        }
        values |= {
            f"{name}_train": sums[name] / n
            for name in ("batch_matching", "cycle_consistency", "labels")
            if name in sums
        }
        if self.negative_phase is not None:
            values["sampler_ess"] = self.negative_phase.effective_sample_size
        self.loop.record(values)

    def log_partition(self) -> float:
        """Return log Z of the prior as it is, from a fresh estimate that never sees the training chains."""
        return held_out.log_partition_now(self.vae.prior, self.config.seed, self.loop.keep_best)

    def _validate(self) -> None:
        if self.validation is None:
            return
        batches = self.validation.epoch(max(512, self.config.batch_size), None, 0, 0, self.device)
        log_z = self.history["log_partition"][-1][1]
        values = held_out.measure(self.vae, batches, log_z, self.config.seed, self.ranks)
        self.loop.record(values)
        self.loop.judge(values["elbo_validation"])
        self.observer.validated(self)

    def _summary(self) -> dict[str, str]:
        show = {
            "reconstruction": "reconstruction_loss_train",
            "rate": "kl_local_train",
            "kl_weight": "kl_weight",
            "active_bits": "active_bits",
            "ess": "sampler_ess",
        }
        return {name: f"{self.history[key][-1][1]:.4g}" for name, key in show.items() if key in self.history}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what a checkpoint holds."""
        self.loop.load_state_dict(converted(state))
