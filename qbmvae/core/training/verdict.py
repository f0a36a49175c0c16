"""How a training went, in one line: best epoch, distance from it, active bits, health of the sampler, what to change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Nats a cell, as a share of the best bound, by which an end counts as worse than the best epoch.
WORSE = 0.01
#: Share of the epochs, at the end, in which a best epoch says that training was too short.
LATE = 0.05
#: Shares of active bits and of effective chains below which there is something to change.
FEW_BITS, LOW_ESS = 0.25, 0.1


@dataclass(frozen=True)
class Verdict:
    """How a training went; bounds are held-out ELBOs in nats a cell, higher is better.

    Attributes
    ----------
    epochs
        Epochs that were done.
    best_epoch, best_elbo
        The epoch with the best bound, counted from 1, and its bound; None without held-out cells.
    elbo
        Bound of the last validated epoch.
    kept
        Whether the model has the best epoch's weights.
    active_bits, n_latent
        Bits that vary over held-out cells, of how many; None without held-out cells.
    sampler_ess
        Effective share of the sampler's reads in the last epoch; None for a prior that needs no sampler.
    advice
        What to change, one sentence each.
    """

    epochs: int
    best_epoch: int | None
    best_elbo: float | None
    elbo: float | None
    kept: bool
    active_bits: int | None
    n_latent: int
    sampler_ess: float | None
    advice: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{self.epochs} epochs"]
        if self.best_elbo is not None and self.elbo is not None:
            end = f", {self.elbo:,.1f} at the end" if self.elbo != self.best_elbo else ""
            kept = " (kept)" if self.kept else ""
            parts.append(f"held-out ELBO best at epoch {self.best_epoch}{kept}: {self.best_elbo:,.1f} nats a cell{end}")
        if self.active_bits is not None:
            parts.append(f"{self.active_bits} of {self.n_latent} dimensions active")
        if self.sampler_ess is not None:
            parts.append(f"sampler: {self.sampler_ess:.0%} of its reads effective")
        return "; ".join(parts) + "".join(f". {sentence}" for sentence in self.advice)


def judge(
    history: Mapping[str, Sequence[tuple[int, float]]], *, n_latent: int, num_chains: int, kept: bool, max_epochs: int
) -> Verdict:
    """Return the verdict on a training.

    Parameters
    ----------
    history
        Curves of (epoch, value), as `Trainer.fit` returns them.
    n_latent
        Dimensions of the code.
    num_chains
        Reads of the negative phase a step.
    kept
        Whether the weights of the best epoch were kept.
    max_epochs
        Epochs that were asked for: fewer were done where early stopping ended it.
    """
    epochs = history["train_loss_epoch"][-1][0] + 1
    curve = history.get("elbo_validation", ())
    ess = history["sampler_ess"][-1][1] / num_chains if history.get("sampler_ess") else None
    active = int(history["active_bits"][-1][1]) if history.get("active_bits") else None
    best_epoch = best = last = None
    advice = []
    if curve:
        at, cost = min(curve, key=lambda point: point[1])
        best_epoch, best, last = at + 1, -cost, -curve[-1][1]
        if best - last > WORSE * abs(best) and not kept:
            advice.append(
                "The likelihood overfits: for bounds and generated cells use early_stopping=True or keep_best=True, or "
                "dropout in the decoder (decoder_dropout_rate=0.3); the embedding often gains from the further epochs"
            )
        elif epochs == max_epochs > 1 and best_epoch > (1 - LATE) * epochs:
            advice.append("The bound still improves: more epochs (max_epochs) would help")
    if active is not None and active < FEW_BITS * n_latent:
        advice.append("Few dimensions are used: lower n_latent or kl_weight, or train longer")
    if ess is not None and ess < LOW_ESS:
        advice.append(
            "The sampler's reads carry little weight: more sweeps (sampler='persistent?num_sweeps=5') or chains"
        )
    return Verdict(epochs, best_epoch, best, last, kept and best is not None, active, n_latent, ess, tuple(advice))
