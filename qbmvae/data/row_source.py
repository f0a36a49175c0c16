"""What sources of training cells share: the tables of all cells, which of them to use, and how an epoch is cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from qbmvae.core.csr import CsrBlock
from qbmvae.core.networks import Covariates
from qbmvae.core.vae import Batch


class RowSource:
    """Cells by their position in a whole, with tables of all cells in memory.

    Parameters
    ----------
    n_cells
        Cells of the whole.
    library
        Total counts or size factors, `(n_cells,)`; each row's total counts where None.
    categories
        Integer codes of each categorical covariate, the batch first; `(n_cells,)` each.
    continuous
        `(n_cells, n_continuous)`, or None.
    rows
        The cells to use; all by default.
    shard
        (rank, world): which part of the cells this process takes, in as many steps as every other.
    """

    def __init__(
        self,
        n_cells: int,
        library: np.ndarray | None,
        categories: Sequence[np.ndarray],
        continuous: np.ndarray | None,
        rows: np.ndarray | None,
        shard: tuple[int, int],
    ):
        self.library = None if library is None else np.asarray(library, dtype=np.float32).ravel()
        self.categories = [np.asarray(c, dtype=np.int64).ravel() for c in categories]
        self.continuous = None if continuous is None else np.asarray(continuous, dtype=np.float32)
        self.rows = np.arange(n_cells) if rows is None else np.asarray(rows, dtype=np.int64)
        self.shard = shard

    def __len__(self) -> int:
        return len(self.rows)

    def steps(self, batch_size: int) -> int:
        """Return the number of minibatches an epoch: even sizes, none of a single cell unless that is asked for."""
        n_cells = len(self) / self.shard[1]
        steps = round(n_cells / batch_size)
        return max(1, steps if batch_size < 2 else min(steps, int(n_cells // 2)))

    def batch(self, rows: np.ndarray, block: CsrBlock, device: str | torch.device = "cpu") -> Batch:
        """Return a minibatch: the counts of some rows, and their rows of the tables.

        Parameters
        ----------
        rows
            Which cells, `(n_cells,)`.
        block
            Their counts.
        device
            Where the tensors go; counts stay sparse on the CPU.
        """
        own = block.sums() if self.library is None else self.library[rows]
        return Batch(
            block if torch.device(device).type == "cpu" else block.dense(device),
            torch.from_numpy(own).to(device),
            Covariates(
                tuple(torch.from_numpy(c[rows]).to(device) for c in self.categories),
                None if self.continuous is None else torch.from_numpy(self.continuous[rows]).to(device),
            ),
            rows,
        )
