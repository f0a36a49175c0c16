"""What goes into the objective and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from qbmvae.core.csr import CsrBlock
from qbmvae.core.networks import Covariates


@dataclass
class Batch:
    """A minibatch.

    Attributes
    ----------
    x
        Counts (or log-normalised values), `(n_cells, n_genes)`: dense, or sparse rows on the CPU.
    library
        Total counts or size factors, `(n_cells,)`.
    covariates
        Batch, further categories, continuous values.
    rows
        Where the cells stand in their source, `(n_cells,)`: what an error names.
    """

    x: Tensor | CsrBlock
    library: Tensor
    covariates: Covariates
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.x)


@dataclass
class Losses:
    """What one minibatch costs, in nats a cell.

    Attributes
    ----------
    total
        What the optimiser descends, scalar.
    reconstruction
        -log p(x | z), `(n_cells,)`.
    kl
        KL(q || p) without log Z for bits, whole for real codes, `(n_cells,)`.
    penalties
        The optional terms by name, weighted, scalars.
    """

    total: Tensor
    reconstruction: Tensor
    kl: Tensor
    penalties: dict[str, Tensor] = field(default_factory=dict)
