r"""The default embedding: the leading axes of expression, then the code, with the batches aligned.

A cell's coordinates start from two blocks. The last columns are the 30 leading axes of expression space, each divided by the power
p of its standard deviation (the variance of the first axes would else hide the others), together of variance 1; more axes
add noise, fewer lose types. The columns before them are the leading principal components of the code (bit probabilities
q), together of variance :math:`w^2`: a hundredth, so that cells of equal expression are told apart by their code.
Then every batch is moved onto the others inside soft clusters (`qbmvae.core.alignment`), and a linear map brings the
distances between groups of cells near those of measured expression (`qbmvae.core.geometry`).

Components, scales, clusters, offsets and the map are fixed on training cells: a cell's coordinates do not depend on which
other cells are embedded.

Parameters
----------
blocks
    Code and expression side by side, `(n_cells, n_dimensions)`.
batch
    Each cell's batch, `(n_cells,)`.
n_batches
    How many there are.
seed
    Of the clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from qbmvae.core import alignment, geometry
from qbmvae.core.alignment import Alignment
from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused.products import linear, mm

#: Axes of expression, at most; a narrow code leaves a quarter of the columns to the code.
AXES = 30
#: w, the standard deviation of the code's columns together.
CODE_WEIGHT = 0.1
#: p: the power of its standard deviation by which an axis of expression space is divided.
SCALING = 0.3
#: Training cells on which clusters and offsets are found, at most.
CELLS = 20_000
#: Training cells on which the linear map is found, and values of their expression, which is held dense, at most.
GEOMETRY_CELLS, GEOMETRY_VALUES = 3_000, 20_000_000
#: Total counts that log-normalised expression is scaled to.
LIBRARY = 1e4
#: Weight of a cell's own counts in the second block, see `ExpressionSpace.expected`; and in models that do not hold it.
COUNTS_WEIGHT, EARLIER_COUNTS_WEIGHT = 8.0, 4.0


class AlignedSpace(nn.Module):
    """The maps from code and expression to the default embedding; empty until `fit`.

    Parameters
    ----------
    n_latent
        Width of the embedding, and of the code.
    """

    code_mean: Tensor
    code_map: Tensor
    scales: Tensor
    centres: Tensor
    means: Tensor
    widths: Tensor
    offsets: Tensor
    geometry: Tensor
    own_counts: Tensor

    def __init__(self, n_latent: int):
        super().__init__()
        self.n_latent = n_latent
        self.n_code = max(n_latent - AXES, min(n_latent - 1, max(1, round(n_latent / 4))))
        names = "code_mean", "code_map", "scales", "centres", "means", "widths", "offsets", "geometry", "own_counts"
        for name in names:
            self.register_buffer(name, torch.zeros(0))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        # the number of clusters follows from the training cells; a model of an earlier version has none of this
        if prefix + "code_mean" not in state_dict:
            return
        # what the version that saved the model did not know is empty
        saved = {prefix + name: torch.zeros(0) for name in self._buffers} | state_dict
        for name in self._buffers:
            setattr(self, name, torch.zeros_like(saved[prefix + name], device=self.code_mean.device))
        super()._load_from_state_dict(saved, prefix, *args, **kwargs)

    @property
    def n_axes(self) -> int:
        """Axes of expression that are used; of a loaded model, those that it was saved with."""
        return len(self.scales) or self.n_latent - self.n_code

    @property
    def counts_weight(self) -> float:
        """Weight of a cell's own counts; of a loaded model, the one that it was saved with."""
        if not self.fitted:
            return COUNTS_WEIGHT
        return float(self.own_counts) if len(self.own_counts) else EARLIER_COUNTS_WEIGHT

    @property
    def fitted(self) -> bool:
        """Whether the blocks are fixed."""
        return bool(len(self.scales))

    @torch.inference_mode()
    def fit_blocks(self, code: Tensor, expression: Tensor) -> None:
        """Fix components and scales.

        Parameters
        ----------
        code
            Of training cells, `(n_cells, n_latent)`.
        expression
            Their coordinates in expression space, `(n_cells, n_latent)`, the widest axis first.
        """
        self.code_mean = code.mean(0)
        centred = (code - self.code_mean).double()
        _, variances, components = torch.linalg.svd(centred.T @ centred / max(1, len(code) - 1))
        components = components[: self.n_code]
        largest = components.gather(1, components.abs().argmax(1, keepdim=True))
        components = components * torch.where(largest < 0, -1.0, 1.0)
        total = variances[: self.n_code].sum().clamp(min=1e-12)
        self.code_map = (CODE_WEIGHT * components / total.sqrt()).float().contiguous()
        deviation = expression[:, : self.n_latent - self.n_code].double().std(0, correction=0)
        # an axis beyond what the cells span has no scale of its own
        floor = 1e-3 * deviation.max().clamp(min=1e-12)
        scales = deviation.clamp(min=floor) ** -SCALING
        self.own_counts = torch.tensor([self.counts_weight])
        self.scales = (scales / (deviation * scales).square().sum().clamp(min=1e-12).sqrt()).float()

    def blocks(self, code: Tensor, expression: Tensor) -> Tensor:
        """Return the two blocks of cells before alignment, `(n_cells, n_latent)`; parameters as in `fit_blocks`."""
        code_map = self.code_map.cpu().T
        first = linear(code, code_map, -(self.code_mean.cpu() @ code_map))
        return torch.cat([first, expression[:, : len(self.scales)] * self.scales.cpu()], 1)

    def fit_alignment(self, blocks: Tensor, batch: Tensor, n_batches: int, seed: int = 0) -> None:
        """Fix clusters and each batch's offsets; parameters as in `qbmvae.core.alignment.fit`."""
        self._keep(alignment.fit(blocks, batch, n_batches, seed=seed))

    def extend_alignment(self, blocks: Tensor, batch: Tensor, n_batches: int) -> None:
        """Find the offsets of new batches; parameters as in `qbmvae.core.alignment.extend`."""
        if len(self.offsets):
            self._keep(alignment.extend(self.alignment, blocks, batch, n_batches))

    @property
    def alignment(self) -> Alignment:
        """The clusters and offsets, on the CPU."""
        return Alignment(self.centres.cpu(), self.means.cpu(), self.widths.cpu(), self.offsets.cpu())

    def _keep(self, found: Alignment) -> None:
        self.centres, self.means, self.widths, self.offsets = found.centres, found.means, found.widths, found.offsets

    def fit_geometry(self, blocks: Tensor, expression: Tensor, batch: Tensor, seed: int = 0) -> None:
        """Fix the linear map; what is not said here is as in `place`.

        Parameters
        ----------
        blocks, batch, seed
            Of the cells that fix it; the seed is that of k-means.
        expression
            Their log-normalised expression, `(n_cells, n_genes)`.
        """
        aligned = self.alignment.apply(blocks, batch) if len(self.offsets) else blocks
        self.geometry = geometry.fit(aligned, expression, batch, seed)

    def place(self, blocks: Tensor, batch: Tensor | None) -> Tensor:
        """Return the coordinates of cells.

        Parameters
        ----------
        blocks
            What `blocks` returned.
        batch
            Code of each cell's batch, `(n_cells,)`; an unknown one is not moved. None moves no cell; nothing is moved where
            no alignment was fitted.
        """
        x = blocks if batch is None or not len(self.offsets) else self.alignment.apply(blocks, batch)
        return mm(x, self.geometry.cpu()) if len(self.geometry) else x


def log_expression(counts: Sequence[Tensor | CsrBlock], likelihood: str, seed: int) -> tuple[Tensor, Tensor]:
    """Return which cells the linear map is fixed on, and their log-normalised expression, `(n_cells, n_genes)`.

    Parameters
    ----------
    counts
        Of cells, in parts; with a Gaussian likelihood log-normalised already.
    likelihood
        Of the model.
    seed
        Of the choice of cells, where there are more than `GEOMETRY_CELLS`, or than `GEOMETRY_VALUES` allow.
    """
    generator = torch.Generator().manual_seed(seed)
    n_genes = counts[0].n_columns if isinstance(counts[0], CsrBlock) else counts[0].shape[1]
    most = min(GEOMETRY_CELLS, max(500, GEOMETRY_VALUES // n_genes))
    rows = torch.randperm(sum(map(len, counts)), generator=generator)[:most].sort().values
    found, start = [], 0
    for part in counts:
        own = rows[(rows >= start) & (rows < start + len(part))] - start
        found.append(part.take(own.numpy()).dense() if isinstance(part, CsrBlock) else part[own.to(part.device)].cpu())
        start += len(part)
    x = torch.cat(found)
    return rows, x if likelihood == "gaussian" else x.mul_(LIBRARY / x.sum(1, keepdim=True).clamp(min=1)).log1p_()
