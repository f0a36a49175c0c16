r"""Coordinates of cells in the space of expression: what the model expects of each gene, on fixed principal components.

A negative binomial count is Poisson with a rate drawn from a Gamma distribution of mean :math:`\mu = L \rho_s(z)` and
shape :math:`\theta`. Given the code z and the counts x of a cell of batch s, the rate's expectation is

.. math:: E[\lambda \mid x, z] = \mu\, \frac{\theta + x}{\theta + \mu}

(the conjugate posterior): the decoder's mean, moved toward the count by as much as the gene's dispersion allows. The batch
enters the ratio, which says what is the cell's own, while the mean in front averages the covariates out. Rates are compared
on the scale on which counts have unit variance, :math:`2\sqrt\theta\,\mathrm{arsinh}\sqrt{\mu / \theta}` (Anscombe 1948;
the Fisher-Rao distance between negative binomials of one dispersion), at the training cells' median library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from qbmvae.core.batch import Batch
from qbmvae.core.csr import CsrBlock
from qbmvae.core.fused import rates
from qbmvae.core.fused.products import linear, mm, rounded, rounded_mm
from qbmvae.core.networks import Covariates
from qbmvae.core.vae import VAE

#: Training cells whose decoded expression fixes the components, and the cells decoded at once.
CELLS, CHUNK = 3000, 256
#: Axes that count as few.
FEW_AXES = 24


@dataclass
class ExpressionSpace:
    """Where cells are placed; made anew for weights that have changed.

    Attributes
    ----------
    vae
        The model.
    categories
        How many categories of each covariate are averaged out, the batch first.
    library
        Total counts at which rates are compared.
    device
        Where to compute.
    """

    vae: VAE
    categories: Sequence[int]
    library: float
    device: torch.device | str

    @torch.inference_mode()
    def decoded(self, code: Tensor) -> Tensor:
        """Return the stabilised rates that the code alone lets expect, `(n_cells, n_genes)` on the CPU.

        The rows of the covariates' categories are averaged in every layer: one decoding a cell, however many batches.
        """
        parts = [self._decoded(part) * self._unit for part in code.split(CHUNK)]
        return torch.cat(parts) if parts else torch.zeros(0, self.vae.n_input)

    @torch.inference_mode()
    def expected(self, code: Tensor, batch: Batch, counts_weight: float = 1.0) -> Tensor:
        """Return the stabilised rates that the code and the counts let expect, `(n_cells, n_genes)` on the CPU.

        Parameters
        ----------
        code, batch
            Codes, `(n_cells, n_latent)`, and the cells that they belong to.
        counts_weight
            c: the counts move the rate as if the dispersion were theta / c; 1 gives the posterior mean.

        Notes
        -----
        Equal to `decoded` for a likelihood without a rate of its own in each cell (Poisson, Gaussian).
        """
        rates_of = self._expected_of(code, batch, counts_weight)
        parts = [rates_of(rows) * self._unit for rows in _chunks(len(code))]
        return torch.cat(parts) if parts else torch.zeros(0, self.vae.n_input)

    @torch.inference_mode()
    def coordinates(
        self, code: Tensor, batch: Batch | None, mean: Tensor, components: Tensor, counts_weight: float = 1.0
    ) -> Tensor:
        """Return coordinates of rates on axes, `(n_cells, n_components)` on the CPU, a few cells at a time.

        Parameters
        ----------
        code, batch
            Codes, and the cells that they belong to; None for the rates that the code alone lets expect.
        mean, components
            See `principal_components`.
        counts_weight
            As in `expected`.
        """
        components = components.cpu()
        offset, axes = components @ mean.cpu(), (components * self._unit).T
        rates_of = None if batch is None else self._expected_of(code, batch, counts_weight)
        found = torch.empty(len(code), len(components))
        for rows in _chunks(len(code)):
            stabilised = self._decoded(code[rows]) if rates_of is None else rates_of(rows)
            # the library multiplies few axes faster as rows
            found[rows] = mm(axes.T, stabilised.T).T if len(components) <= FEW_AXES else mm(stabilised, axes)
        return found.sub_(offset)

    def _decoded(self, code: Tensor) -> Tensor:
        """Return `decoded` in units of `_unit`."""
        if not self._fused:
            return self._stabilise(self.vae.scale(self.vae.decode_logits(code.to(self.device), self._averaged)[0]))
        logits = self._logits(self.vae.decode_hidden(code, self._averaged))
        rates.decoded(logits.numpy(), np.float32(self.library), self._inverse)
        return logits

    def _expected_of(self, code: Tensor, batch: Batch, counts_weight: float) -> Callable[[slice], Tensor]:
        """Return a function of rows of a batch, whose codes are given, that returns their `expected` in units of `_unit`."""
        if self.vae.gene_likelihood not in ("nb", "zinb"):
            return lambda rows: self._decoded(code[rows])
        if self._fused and isinstance(batch.x, CsrBlock):
            return self._fused_expected(code, batch, batch.x, counts_weight)
        inflated = self.vae.gene_likelihood == "zinb"

        def plain(rows: slice) -> Tensor:
            part, covariates = code[rows].to(self.device), batch.covariates.rows(rows)
            own, hidden = self.vae.decode_logits(part, covariates)
            dropout = self.vae.dropout_output(hidden, covariates) if inflated else None
            x = batch.x[rows]
            x = x.dense(self.device) if isinstance(x, CsrBlock) else x.to(self.device)
            theta = self.vae.log_dispersions(covariates).exp() / counts_weight
            scale = self.vae.scale(self.vae.decode_logits(part, self._averaged)[0])
            return self._stabilise(scale * _ratio(own, dropout, x, batch.library[rows].to(self.device), theta))

        return plain

    def _fused_expected(
        self, code: Tensor, batch: Batch, x: CsrBlock, counts_weight: float
    ) -> Callable[[slice], Tensor]:
        vae, covariates = self.vae, batch.covariates
        inflated = vae.gene_likelihood == "zinb"
        middle, own = (vae.decode_hidden(code, c) for c in (self._averaged, covariates))
        # what a cell's own covariates change is small: it may be rounded
        change, design = (own - middle).bfloat16(), vae.output.design(covariates, len(code))
        table, n_biased = vae.output.table(), vae.output.n_biased
        shifted = torch.cat([table[:n_biased] - self._shift, table[n_biased:]]).numpy()
        dropout_table = vae.dropout_output.table().numpy() if inflated else shifted
        theta = vae.log_dispersion.exp() / counts_weight
        which = covariates.categories[0].numpy() if len(theta) > 1 else np.zeros(len(code), dtype=np.int64)
        library, inverse, dispersion = batch.library.float().numpy(), (1 / theta).numpy(), theta.numpy()

        def fused(rows: slice) -> Tensor:
            logits, edges = self._logits(middle[rows]), slice(rows.start, rows.stop + 1)
            dropout = mm(own[rows], vae.dropout_output.weight) if inflated else logits
            rates.expected(
                logits.numpy(), rounded_mm(change[rows], self._rounded).view(torch.uint16).numpy(),
                design.indptr[edges], design.indices, design.data, shifted, dropout.numpy(), dropout_table, inflated,
                np.float32(self.library), library[rows], self._inverse, which[rows], inverse, dispersion,
                x.indptr[edges], x.indices, x.data,
            )  # fmt: skip
            return logits

        return fused

    @cached_property
    def _averaged(self) -> Covariates:
        return Covariates((), averaged=tuple(self.categories))

    @cached_property
    def _fused(self) -> bool:
        weight = self.vae.output.weight
        return (
            self.vae.gene_likelihood in ("nb", "zinb") and weight.device.type == "cpu" and weight.dtype == torch.float32
        )

    def _logits(self, hidden: Tensor) -> Tensor:
        """Return the output layer's logits, the covariates averaged out."""
        return linear(hidden, self.vae.output.weight, self._shift)

    @cached_property
    def _shift(self) -> Tensor:
        return self.vae.output.shift(self._averaged)

    @cached_property
    def _rounded(self) -> Tensor:
        return rounded(self.vae.output.weight)

    @cached_property
    def _theta(self) -> Tensor:
        """The dispersion of the scale, `(n_genes,)`: of dispersions by batch, the geometric mean."""
        return self.vae.log_dispersion[: self.categories[0]].mean(0).exp()

    @cached_property
    def _inverse(self) -> np.ndarray:
        return (1 / self._theta).numpy()

    @cached_property
    def _unit(self) -> Tensor | float:
        """What `_stabilise` and the kernels leave out: 2 sqrt(theta) of the negative binomials, on the CPU."""
        return 2 * self._theta.sqrt().cpu() if self.vae.gene_likelihood in ("nb", "zinb") else 1.0

    def _stabilise(self, scale: Tensor) -> Tensor:
        likelihood = self.vae.gene_likelihood
        if likelihood == "gaussian":
            return scale.cpu()
        mean = self.library * scale
        if likelihood == "poisson":
            return 2 * mean.sqrt().cpu()
        return torch.asinh((mean / self._theta).sqrt()).cpu()


def _chunks(n: int) -> list[slice]:
    return [slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]


def _ratio(own: Tensor, dropout: Tensor | None, x: Tensor, library: Tensor, theta: Tensor) -> Tensor:
    """Return the expected rate given the counts over that without them, `(n_cells, n_genes)`.

    Parameters
    ----------
    own, dropout
        Logits under the cells' own covariates, and those of a dropped zero (None without inflation).
    x, library, theta
        Counts, total counts, dispersions.
    """
    mean = library.unsqueeze(-1) * torch.softmax(own, -1)
    ratio = (theta + x) / (theta + mean)
    if dropout is None:
        return ratio
    # a zero that was dropped says nothing about the rate
    dropped = torch.sigmoid(dropout + theta * torch.log1p(mean / theta))
    return torch.where(x < 0.5, ratio + dropped * (1 - ratio), ratio)


@torch.inference_mode()
def principal_components(expression: Tensor, n_components: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the mean, `(n_genes,)`, and the leading components, `(n_components, n_genes)`, rows of norm 1.

    Components beyond what the cells span are zero. A component's sign makes its largest entry positive.

    Parameters
    ----------
    expression
        `(n_cells, n_genes)`.
    n_components
        How many.
    seed
        Of the randomised decomposition.
    """
    mean = expression.mean(0)
    rank = min(n_components, *expression.shape)
    components = torch.zeros(n_components, expression.shape[1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # a few more than asked for: the last ones of a randomised decomposition are rough. One power iteration will
        # do: what a decoder of so many hidden units says has hardly more dimensions than these
        wide = min(rank + 10, *expression.shape)
        found = torch.pca_lowrank(expression - mean, q=wide, center=False, niter=1)[2].T[:rank]
    largest = found.gather(1, found.abs().argmax(1, keepdim=True))
    components[:rank] = found * torch.where(largest < 0, -1.0, 1.0)
    return mean, components
