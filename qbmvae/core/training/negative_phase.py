"""Where a sampler meets a prior: the chains of the negative phase and what they report."""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qbmvae.core.priors.base import DiscretePrior
from samplers.draws import Draws
from samplers.sampler import Sampler

#: Seconds of draws in an epoch that are announced, and those that come with advice.
LONG, VERY_LONG = 20.0, 120.0


class NegativePhase:
    """Draws the prior's samples, one request a training step.

    Parameters
    ----------
    sampler
        Any `samplers.Sampler`. Its reads should follow exp(-E) at beta 1; an optimiser's do not, and a warning says so.
    num_reads
        Reads (chains) a step.
    seed
        Seed or generator.

    Attributes
    ----------
    effective_sample_size
        Of the last draw, in reads.
    seconds
        Time spent in the sampler so far.
    """

    def __init__(self, sampler: Sampler, num_reads: int = 512, seed: int | np.random.Generator | None = None):
        self.sampler = sampler
        self.num_reads = num_reads
        self.rng = np.random.default_rng(seed)
        self._started = False
        self.effective_sample_size = float(num_reads)
        self.seconds = 0.0
        self._announced_steps = 0
        if sampler.kind == "optimiser":
            warnings.warn(
                f"{sampler.name!r} seeks low energies instead of sampling at beta 1: the prior it trains is not the "
                "maximum-likelihood one; check it with `qbmvae samplers check`",
                stacklevel=2,
            )

    def announce(self, steps: int) -> None:
        """Say on stderr, once, how long an epoch of so many steps will take where the draws alone make it long."""
        self._announced_steps = steps

    def _announce(self, seconds: float) -> None:
        epoch, self._announced_steps, steps = seconds * self._announced_steps, 0, self._announced_steps
        if epoch < LONG:
            return
        cure = "; fewer steps (batch_size) or reads (num_chains) shorten it" if epoch >= VERY_LONG else ""
        line = f"qbmvae: a draw of {self.sampler.name!r} takes {seconds:.2g} s: {epoch / 60:.1f} min an epoch of {steps} steps"
        print(f"\n{line}{cure}", file=sys.stderr, flush=True)

    def draw(self, prior: DiscretePrior) -> Draws:
        """Draw reads of the prior as it is now."""
        start = time.perf_counter()
        # an integer starts the chains of a sampler that keeps them: none are inherited from an earlier training
        seed = self.rng if self._started else int(self.rng.integers(2**31))
        draws = self.sampler.draw(prior.problem(), self.num_reads, 1.0, seed=seed)
        taken = time.perf_counter() - start
        # a local sampler compiles in this process's first draw
        if self._announced_steps and (self.seconds or self.sampler.remote):
            self._announce(taken)
        self._started = True
        self.seconds += taken
        self.effective_sample_size = len(draws) if draws.log_weights is None else draws.effective_sample_size
        return draws

    def reads(self, prior: DiscretePrior) -> tuple[Tensor, Tensor]:
        """Draw, and return spins, `(n_reads, n_spins)`, and normalised weights, `(n_reads,)`, on the prior's device."""
        draws = self.draw(prior)
        device = next(prior.parameters()).device
        weights = torch.from_numpy(draws.weights.astype(np.float32))
        return torch.from_numpy(draws.states).to(device), weights.to(device)

    def log_partition_surrogate(self, prior: DiscretePrior) -> Tensor:
        """Return a scalar whose gradient with respect to the prior estimates that of log Z."""
        states, weights = self.reads(prior)
        return prior.negative_energy_moments(states.to(torch.float32), weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the generator's state, the last effective sample size and, where the sampler keeps chains, theirs."""
        state: dict[str, Any] = {
            "rng": self.rng.bit_generator.state,
            "started": self._started,
            "effective_sample_size": self.effective_sample_size,
        }
        if hasattr(self.sampler, "state_dict"):
            state["sampler"] = self.sampler.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.rng.bit_generator.state = state["rng"]
        self._started = state["started"]
        # earlier checkpoints have none
        self.effective_sample_size = state.get("effective_sample_size", self.effective_sample_size)
        if "sampler" in state:
            self.sampler.load_state_dict(state["sampler"])  # type: ignore[attr-defined]
