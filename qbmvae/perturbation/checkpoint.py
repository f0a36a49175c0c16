"""Where a fit stands: which stage, its state, what earlier stages found, and whose data they were."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from samplers.errors import InputError
from samplers.files import write_atomically


class Checkpoint:
    """The file from which a stopped fit goes on, in the stage in which it stopped.

    Parameters
    ----------
    path
        The file; one that is there is read.
    identity
        What must be the same to go on, by name: fingerprints of the data, the options, the seed.

    Raises
    ------
    InputError
        The file is damaged, or was written for other data or options; the message says which.
    """

    def __init__(self, path: str | Path, identity: dict[str, Any]):
        self.path, self.identity = Path(path), identity
        self.finished: dict[str, Any] = {}
        self.stage: str | None = None
        self._content: dict[str, Any] = {}
        if self.path.is_file():
            try:
                self._content = torch.load(self.path, weights_only=True)
                self.stage, self.finished = self._content["stage"], self._content["finished"]
                before = self._content["identity"]
            except (OSError, RuntimeError, EOFError, ValueError, TypeError, KeyError, UnpicklingError) as error:
                raise InputError(
                    f"{self.path} is not a checkpoint of this fit ({error}): remove it to start again"
                ) from None
            for name, value in identity.items():
                if before.get(name) != value:
                    raise InputError(
                        f"{self.path} was written with other {name}: give those of the first run, or remove it to start again"
                    )

    def read(self, stage: str) -> dict[str, Any] | None:
        """Return the state of a stage, or None where the fit did not stop in it."""
        return self._content if self.stage == stage else None

    def write(self, stage: str, content: dict[str, Any]) -> None:
        """Write the state of a stage, atomically."""
        whole = {**content, "stage": stage, "finished": self.finished, "identity": self.identity}
        write_atomically(self.path, lambda path: torch.save(whole, path))
