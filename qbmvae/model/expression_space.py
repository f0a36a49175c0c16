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

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qbmvae.core.batch import Batch
from qbmvae.core.csr import CsrBlock
from qbmvae.core.networks import Covariates
from qbmvae.core.vae import VAE

#: Training cells whose decoded expression fixes the components, and the cells decoded at once.
CELLS, CHUNK = 3000, 512


@dataclass
class ExpressionSpace:
    """Where cells are placed.

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
        parts = [self._stabilise(self._averaged(part)).cpu() for part in code.split(CHUNK)]
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
        if self.vae.gene_likelihood not in ("nb", "zinb"):
            return self.decoded(code)
        parts = []
        x = batch.x.dense(self.device) if isinstance(batch.x, CsrBlock) else batch.x.to(self.device)
        for start in range(0, len(code), CHUNK):
            rows = slice(start, start + CHUNK)
            averaged = self._averaged(code[rows])
            cells = code[rows].to(self.device), x[rows], batch.library[rows], batch.covariates.rows(rows)
            ratio = self._ratio(*cells, counts_weight)
            parts.append(self._stabilise(averaged * ratio).cpu())
        return torch.cat(parts) if parts else torch.zeros(0, self.vae.n_input)

    def _averaged(self, code: Tensor) -> Tensor:
        nowhere = Covariates((), averaged=tuple(self.categories))
        return self.vae.scale(self.vae.decode_logits(code.to(self.device), nowhere)[0])

    def _ratio(
        self, code: Tensor, x: Tensor, library: Tensor, covariates: Covariates, counts_weight: float = 1.0
    ) -> Tensor:
        """Return the expected rate given the counts over that without them."""
        logits, hidden = self.vae.decode_logits(code, covariates)
        mean = library.to(self.device).unsqueeze(-1) * torch.softmax(logits, -1)
        theta = self.vae.log_dispersions(covariates).exp() / counts_weight
        ratio = (theta + x) / (theta + mean)
        if self.vae.gene_likelihood == "zinb":
            # a zero that was dropped says nothing about the rate
            log_zero = theta * torch.log(theta / (theta + mean))
            dropped = torch.sigmoid(self.vae.dropout_output(hidden, covariates) - log_zero)
            ratio = torch.where(x < 0.5, ratio + dropped * (1 - ratio), ratio)
        return ratio

    def _stabilise(self, scale: Tensor) -> Tensor:
        likelihood = self.vae.gene_likelihood
        if likelihood == "gaussian":
            return scale
        mean = self.library * scale
        if likelihood == "poisson":
            return 2 * mean.sqrt()
        # of dispersions by batch, the geometric mean
        root = (0.5 * self.vae.log_dispersion[: self.categories[0]].mean(0)).exp()
        return 2 * root * torch.asinh(mean.sqrt() / root)


@torch.inference_mode()
def principal_components(expression: Tensor, n_components: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return the mean, `(n_genes,)`, and the leading components, `(n_components, n_genes)`, rows of norm 1.

    Components beyond what the cells span are zero. A component's sign makes its largest entry positive.
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


@torch.inference_mode()
def coordinates(expression: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    """Return the coordinates of expression, `(n_cells, n_components)`."""
    return (expression - mean.cpu()) @ components.cpu().T
