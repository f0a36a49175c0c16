"""The public methods that change a model's weights: training, and taking given ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

import samplers
from qbmvae.core.options import pick
from qbmvae.core.training.config import TrainingConfig
from qbmvae.core.training.trainer import Trainer
from qbmvae.data.stream import Stream
from qbmvae.model import fit, labels, query, split
from qbmvae.model.bit_methods import BitMethods
from qbmvae.model.lightning import planned
from qbmvae.model.module import QBMVAEModule
from qbmvae.model.run_options import RunOptions


class TrainingMethods(BitMethods):
    """Methods of `QBMVAE` about its training."""

    _module_cls = QBMVAEModule
    _module_options: Mapping[str, Any]
    #: the sampler's specification, without credentials; None for an object
    sampler_: str | None = None
    #: of the model of a query: rows of each covariate that its reference has trained, and that stay as they are
    reference_categories_: tuple[int, ...] | None = None
    #: how training went, see `qbmvae.core.training.verdict.Verdict`, with its one line as "text"; None before
    verdict_: dict[str, Any] | None = None
    #: CPU seconds that the last training spent compiling kernels
    compile_seconds_: float = 0.0

    @property
    def sampler(self) -> samplers.Sampler:
        """The sampler of the negative phase; set it by name, "name?option=value" or object."""
        return self._sampler

    @sampler.setter
    def sampler(self, spec: Any) -> None:
        self._sampler = samplers.get(spec)
        self.sampler_ = fit.without_token(spec) if isinstance(spec, str) else None

    # -- weights: the only places that say whether they are drawn or given, and whether they are trained -------------

    def _draw_weights(self, seed: int) -> None:
        """Make the module with weights drawn from `seed`; the global generator is left as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.module = self._module_cls(**self._module_options)
        self.module.minified_data_type = self.minified_data_type
        self._drawn = True

    def set_weights(self, weights: Mapping[str, torch.Tensor] | None = None, *, trained: bool = False) -> None:
        """Take weights as given: the next `train` goes on from them instead of drawing its own.

        Parameters
        ----------
        weights
            State of the module; by default the weights that it has now.
        trained
            Whether the model may answer with them.
        """
        if weights is not None:
            self.module.load_state_dict(weights)
            self.library_table_ = None
        self.module.eval()
        self._drawn, self.is_trained_ = False, trained

    @contextmanager
    def answering(self, trainer: Trainer) -> Iterator[None]:
        """Let the model answer as it stands in the middle of its training: embed, generate, bounds."""
        before, self.is_trained_ = self.is_trained_, True
        if curve := trainer.history.get("log_partition"):
            self.module.log_partition.fill_(curve[-1][1])
        try:
            yield
        finally:
            self.is_trained_, self.library_table_ = before, None

    def train(
        self,
        max_epochs: int | None = None,
        batch_size: int = 128,
        *,
        sampler: Any = None,
        plan_kwargs: Mapping[str, Any] | None = None,
        # written by .ci/signatures.py from TrainingConfig and RunOptions
        learning_rate: float = 1e-3,
        prior_learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        learning_rate_decay: float = 0.0,
        kl_weight: float = 0.25,
        kl_warmup: float = 0.25,
        batch_matching: float = 2.0,
        cycle_consistency: float = 0.0,
        label_weight: float = 0.0,
        num_chains: int = 512,
        gradient_clip: float | None = None,
        early_stopping: bool = False,
        keep_best: bool = False,
        early_stopping_patience: int = 45,
        early_stopping_min_delta: float = 0.0,
        check_val_every_n_epoch: int = 1,
        seed: int = 0,
        checkpoint_every: int = 0,
        refine_prior: bool | None = None,
        precision: Literal["32", "bf16"] = "32",
        fused: Literal["auto", "off"] = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        shuffle_set_split: bool = True,
        external_indexing: Sequence[np.ndarray] | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        checkpoint_dir: str | Path | None = None,
        resume_from: str | Path | None = None,
        on_epoch: Callable[[Trainer], None] | None = None,
        callbacks: Sequence[Any] | None = None,
        logger: Any = None,
        stream: Stream | None = None,
        progress_bar: bool = True,
    ) -> None:
        """Train the model; one line at the end says how it went, on stderr and in `verdict_`.

        Parameters
        ----------
        max_epochs
            Passes over the training cells; by default 400 up to 20,000 cells, fewer above.
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
        train_size, validation_size
            Shares of the cells; .9 and the rest by default.
        shuffle_set_split
            Whether the split is random (else the first cells train).
        external_indexing
            Own split: arrays of training and validation (and test) indices.
        accelerator, devices
            As in scvi-tools: "auto", "cpu", "gpu", and how many or which; several train one model together.
        checkpoint_dir
            Folder for checkpoints, written atomically after each epoch.
        resume_from
            Folder with checkpoints of an interrupted training: continues it, to the bit, with its own settings.
        on_epoch
            Called with the trainer after each epoch, the model ready to answer; for curves of one's own.
        callbacks
            Objects with the hooks of Lightning's callbacks, for epochs, steps and validations; the model is ready to answer at
            the end of epochs and validations. `trainer.should_stop = True` ends the training.
        logger
            Gets each epoch's metrics: "csv", "tensorboard", "wandb" (in the checkpoints' folder, or "qbmvae_logs"), or an
            object of Lightning's loggers' kind; several in a list.
        stream
            Where training counts come from instead of the model's data: see `qbmvae.data.stream`, whose
            `annbatch_stream` reads an annbatch collection. Genes by name where the pieces name them.
        progress_bar
            Whether to show progress, on stderr.
        sampler
            Replaces the model's sampler for the negative phase: a name, "name?option=value", or an object.
        plan_kwargs
            Settings under scvi-tools' names: lr, weight_decay, n_epochs_kl_warmup, n_steps_kl_warmup, max_kl_weight.

        Raises
        ------
        InputError
            For options out of range, nothing to resume from, or a loss that is not finite (naming the cells).
        """
        n_obs = fit.check_trainable(self).n_obs
        if max_epochs is None:
            max_epochs = fit.default_epochs(n_obs)
        config = pick(TrainingConfig, locals())
        if plan_kwargs:
            config = planned(config, plan_kwargs, split.steps(n_obs, config, train_size))
        options = pick(RunOptions, locals())
        if sampler is not None:
            self.sampler = sampler
        run = fit.Run.of(self, config, options)
        if self._drawn:
            self._draw_weights(run.config.seed)
        self.train_indices_, self.validation_indices_, self.test_indices_ = run.split
        if self.reference_categories_ is not None:
            query.freeze(self.module.vae, self.reference_categories_)
        self.library_table_ = None
        self.history_, verdict = run.fit()
        self.verdict_ = {**asdict(verdict), "text": str(verdict)}
        fit.measure(self, run.config)
        if self.module.labels is not None and not self.keeps_labels_:
            labels.fit_after(self, run.config)
        self.set_weights(trained=True)
