"""What every compared model is given and gives back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from anndata import AnnData

    Embed = Callable[[AnnData | None], np.ndarray]


@dataclass
class Fitted:
    """A fitted model.

    Attributes
    ----------
    embed
        Cells to their embedding, `(n_cells, n_dimensions)`; None for the cells that it was fitted on.
    history
        Training curves by epoch; empty for methods without epochs.
    seconds, cpu_seconds
        Wall-clock and processor time of the fit; the latter without compilation.
    compile_seconds
        Processor time of compiling kernels, which a machine spends once.
    model
        The fitted object; None where there is none.
    by_epoch
        Embedding of the training cells after some epochs.
    generate
        `(n_cells, seed)` to counts; None where the model generates nothing.
    bounds
        Cells to `{"elbo": ..., "iwae": ...}` in nats a cell; None where there is no likelihood.
    novelty
        Cells to `{score name: (n_cells,)}`, higher for cells unlike the training data.
    inductive
        Whether cells that were not fitted on can be embedded.
    """

    embed: Embed
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    compile_seconds: float = 0.0
    model: Any = None
    by_epoch: dict[int, np.ndarray] = field(default_factory=dict)
    generate: Callable[[int, int], Any] | None = None
    bounds: Callable[[AnnData], dict[str, float]] | None = None
    novelty: Callable[[AnnData], dict[str, np.ndarray]] | None = None
    inductive: bool = True

    def fingerprint(self) -> str:
        """Return a SHA-256 of what embeds: the network's weights and buffers, or the array that projects."""
        digest = hashlib.sha256()
        if hasattr(self.model, "module"):
            for name, value in sorted(self.model.module.state_dict().items()):
                digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
        else:
            for part in self.model or ():
                digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Task:
    """What a model is fitted on, and for how long: equal for all models of a comparison."""

    adata: AnnData
    batch_key: str | None = None
    label_key: str | None = None
    layer: str | None = None
    max_epochs: int = 100
    batch_size: int = 128
    n_hidden: int = 128
    n_layers: int = 2
    seed: int = 0
    snapshots: Sequence[int] = ()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread for a while: small layers gain nothing from more, and costs compare."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
