"""Who watches a training: a class whose methods are called as it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qbmvae.core.batch import Batch


class Observer:
    """Does nothing at each moment of a training; a subclass writes the methods of the moments that it wants.

    `trainer` is the `Trainer`; setting `trainer.loop.stopped = True` ends the training with the running epoch.
    """

    def start(self, trainer: Any) -> None:
        """Before the first epoch, or the first one after a resumption."""

    def epoch_start(self, trainer: Any) -> None:
        """Before an epoch."""

    def step(self, trainer: Any, loss: float, batch: Batch, index: int) -> None:
        """After a step of the optimiser, the `index`-th of its epoch.

        Parameters
        ----------
        trainer
            The `Trainer`.
        loss
            Of the step.
        batch
            Its cells.
        index
            Its position in the epoch.
        """

    def validated(self, trainer: Any) -> None:
        """After the held-out cells were evaluated."""

    def epoch_end(self, trainer: Any) -> None:
        """After an epoch was counted and its checkpoint written."""

    def end(self, trainer: Any) -> None:
        """After the last epoch, the best weights restored where they are kept."""
