"""The training loop: one device, seeded, resumable to the bit."""

from __future__ import annotations

import contextlib
import copy
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm.auto import tqdm

from qbmvae.core.priors.base import DiscretePrior
from qbmvae.core.training import checkpoint
from qbmvae.core.training import state as training_state
from qbmvae.core.training.adam import Adam
from qbmvae.core.training.config import PRECISIONS, TrainingConfig
from qbmvae.core.training.distributed import Ranks
from qbmvae.core.training.fused_step.step import Step, applies
from qbmvae.core.training.negative_phase import NegativePhase
from qbmvae.core.vae import VAE, Batch
from samplers.errors import InputError
from samplers.partition_function import log_partition
from samplers.sampler import Sampler
from samplers.strategies.population_annealing import PopulationAnnealing

#: Spins up to which log Z is enumerated every epoch.
ENUMERATED = 16
#: Chains and sweeps of the estimate of log Z at each epoch, and where epochs are compared by early stopping.
CURVE, PRECISE_CURVE = (256, 16), (512, 64)


class Source(Protocol):
    """Cells that can be handed out in minibatches, see `qbmvae.data.memory_source.MemorySource`."""

    def __len__(self) -> int: ...

    def steps(self, batch_size: int) -> int:
        """Return the number of minibatches an epoch."""
        ...

    def epoch(self, batch_size: int, seed: int | None, epoch: int, start: int, device: Any) -> Iterator[Batch]:
        """Yield the minibatches of an epoch."""
        ...


@contextlib.contextmanager
def _arithmetic(precision: str) -> Iterator[None]:
    """Set the products' precision, and flush denormal numbers: they cost a hundred times as much as others."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[precision])
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_float32_matmul_precision(before)


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
    extra_state
        Further entries of each checkpoint (the split of the cells).
    ranks
        This process among several; the sources are its shards.
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
        extra_state: dict[str, Any] | None = None,
        ranks: Ranks | None = None,
    ):
        if not len(train):
            raise InputError("there are no training cells")
        self.vae = vae.to(device)
        self.train, self.validation = train, validation if validation is not None and len(validation) else None
        self.config, self.device = config, device
        self.ranks = ranks = ranks or Ranks()
        self.checkpoints, self.progress, self.extra_state = checkpoints, progress, extra_state or {}
        own = [p for p in vae.prior.parameters() if p.requires_grad]
        sampled = vae.prior.needs_samples and bool(own)
        # chains of different ranks must differ: their moments are averaged
        chains, seed = -(-config.num_chains // ranks.world), config.seed + 7919 * ranks.rank
        self.negative_phase = NegativePhase(sampler, chains, seed) if sampled else None
        # without the autograd engine, where that is known
        self.step = Step(vae) if applies(vae, config.cycle_consistency) else None
        prior = {id(p) for p in vae.prior.parameters()}
        network = [p for p in vae.parameters() if p.requires_grad and id(p) not in prior]
        groups = [{"params": network, "lr": config.learning_rate, "weight_decay": config.weight_decay}]
        if own:
            groups.append({"params": own, "lr": config.prior_learning_rate, "weight_decay": 0.0})
        self.optimiser = Adam(groups)
        for group in self.optimiser.param_groups:
            group["base_lr"] = group["lr"]
        self.epoch, self.step_in_epoch = 0, 0
        self.history: dict[str, list[tuple[int, float]]] = defaultdict(list)
        self.best: dict[str, Any] | None = None
        self.best_value, self.bad_validations, self.stopped = float("inf"), 0, False
        self.torch_rng: torch.Tensor | None = None
        self.sums: dict[str, float] = defaultdict(float)

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

    def fit(self, on_epoch: Callable[[Trainer], None] | None = None) -> dict[str, list[tuple[int, float]]]:
        """Train to the end, from wherever the state stands, and return the history.

        Parameters
        ----------
        on_epoch
            Called after each epoch.
        """
        with (
            torch.random.fork_rng(devices=[] if torch.device(self.device).type == "cpu" else None),
            _arithmetic(self.config.precision),
        ):
            if self.torch_rng is None:
                torch.manual_seed(self.config.seed + 7919 * self.ranks.rank)
            else:
                torch.set_rng_state(self.torch_rng)
            with tqdm(
                total=self.config.max_epochs,
                initial=self.epoch,
                desc="epochs",
                file=sys.stderr,
                disable=not self.progress or self.ranks.rank > 0,
            ) as bar:
                while self.epoch < self.config.max_epochs and not self.stopped:
                    self._run_epoch()
                    bar.update()
                    bar.set_postfix(self._summary())
                    if on_epoch:
                        on_epoch(self)
            self.torch_rng = torch.get_rng_state()
        if self.best is not None:
            self.vae.load_state_dict(self.best)
        self.vae.eval()
        return dict(self.history)

    def _run_epoch(self) -> None:
        self.vae.train()
        config = self.config
        first = self.epoch * self.train.steps(config.batch_size)
        batches = self.train.epoch(config.batch_size, config.seed, self.epoch, self.step_in_epoch, self.device)
        for batch in batches:
            self._step(batch, first + self.step_in_epoch)
            self.step_in_epoch += 1
            if config.checkpoint_every and (first + self.step_in_epoch) % config.checkpoint_every == 0:
                self._checkpoint()
        self._record_training()
        self.epoch += 1
        self.step_in_epoch = 0
        if self.epoch % config.check_val_every_n_epoch == 0 or self.epoch == config.max_epochs:
            self._validate()
        self._checkpoint()

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
        n = len(batch)
        for name, value in {"n": n, "loss": total * n, **terms}.items():
            self.sums[name] += value

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
        losses = self.vae.losses(batch, log_partition, weight, config.batch_matching, config.cycle_consistency)
        for group in self.optimiser.param_groups:
            for parameter in group["params"]:
                parameter.grad = None
        losses.total.backward()
        total = self.ranks.average_gradients(self.vae.parameters(), losses.total).item()
        terms = {"reconstruction": losses.reconstruction.sum().item(), "kl": losses.kl.sum().item()}
        return total, terms | {name: penalty.item() * len(batch) for name, penalty in losses.penalties.items()}

    def _record_training(self) -> None:
        self.ranks.average_statistics(self.vae)
        totals = self.ranks.sum(torch.tensor(list(self.sums.values()), dtype=torch.float64)).tolist()
        sums = dict(zip(self.sums, totals, strict=True))
        n = sums["n"]
        self.sums = defaultdict(float)
        log_z = self.log_partition()
        values = {
            "train_loss_epoch": sums["loss"] / n,
            "reconstruction_loss_train": sums["reconstruction"] / n,
            "kl_local_train": sums["kl"] / n + log_z,
            "elbo_train": (sums["reconstruction"] + sums["kl"]) / n + log_z,
            "kl_weight": self.kl_weight((self.epoch + 1) * self.train.steps(self.config.batch_size) - 1),
            "log_partition": log_z,
        }
        values |= {f"{name}_train": sums[name] / n for name in ("batch_matching", "cycle_consistency") if name in sums}
        if self.negative_phase is not None:
            values["sampler_ess"] = self.negative_phase.effective_sample_size
        self._log(values)

    def _log(self, values: dict[str, float], epoch: int | None = None) -> None:
        for name, value in values.items():
            self.history[name].append((self.epoch if epoch is None else epoch, float(value)))

    def log_partition(self) -> float:
        """Return log Z of the prior as it is, from a fresh estimate that never sees the training chains."""
        prior = self.vae.prior
        if not isinstance(prior, DiscretePrior):
            return 0.0
        if (closed := prior.log_partition()) is not None:
            return float(closed.detach())
        problem = prior.problem()
        if problem.n <= ENUMERATED:
            return log_partition(problem)[0]
        # a curve needs less precision than the value at the end, a comparison of epochs more than a curve
        chains, sweeps = PRECISE_CURVE if self.config.early_stopping else CURVE
        draws = PopulationAnnealing(num_sweeps=sweeps).draw(problem, chains, seed=self.config.seed)
        return draws.info["log_z"]

    def _validate(self) -> None:
        if self.validation is None:
            return
        self.vae.eval()
        state = torch.get_rng_state()
        # the same draws of the code at every validation, and none taken from the training's stream
        torch.manual_seed(self.config.seed)
        totals = torch.zeros(3, dtype=torch.float64)
        moments = torch.zeros(2, self.vae.n_latent, dtype=torch.float64)
        for batch in self.validation.epoch(max(512, self.config.batch_size), None, 0, 0, self.device):
            r, k, code = self.vae.evaluate(batch)
            code = code.double().cpu()
            totals += torch.tensor([float(r.sum()), float(k.sum()), len(batch)], dtype=torch.float64)
            moments += torch.stack([code.sum(0), code.square().sum(0)])
        reconstruction, kl, n = self.ranks.sum(totals).tolist()
        first, second = self.ranks.sum(moments) / n
        torch.set_rng_state(state)
        log_z = self.history["log_partition"][-1][1]
        # a bit is active if its probability varies over cells (Burda et al. 2016, with .01 as threshold)
        active = int((second - first.square() > 0.01).sum())
        values = {
            "elbo_validation": (reconstruction + kl) / n + log_z,
            "reconstruction_loss_validation": reconstruction / n,
            "kl_local_validation": kl / n + log_z,
            "rate": kl / n + log_z,
            "active_bits": active,
        }
        self._log(values, self.epoch - 1)
        self._watch(values["elbo_validation"])

    def _watch(self, value: float) -> None:
        if not self.config.early_stopping:
            return
        # the ELBO is comparable only once the KL has its full weight
        warm = self.epoch >= self.config.kl_warmup * self.config.max_epochs
        if not warm or value < self.best_value - self.config.early_stopping_min_delta:
            self.best_value, self.bad_validations = value if warm else float("inf"), 0
            # a copy: live tensors would go on training
            self.best = copy.deepcopy(self.vae.state_dict()) if warm else None
        else:
            self.bad_validations += 1
            self.stopped = self.bad_validations >= self.config.early_stopping_patience

    def _summary(self) -> dict[str, str]:
        show = {
            "reconstruction": "reconstruction_loss_train",
            "rate": "kl_local_train",
            "kl_weight": "kl_weight",
            "active_bits": "active_bits",
            "ess": "sampler_ess",
        }
        return {name: f"{self.history[key][-1][1]:.4g}" for name, key in show.items() if key in self.history}

    # -- checkpoints ------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a bit-equal continuation needs."""
        return training_state.collect(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        training_state.restore(self, state)

    def _checkpoint(self) -> None:
        if self.checkpoints is not None and self.ranks.rank == 0:
            checkpoint.save({**self.state_dict(), **self.extra_state}, self.checkpoints / checkpoint.NAME)
